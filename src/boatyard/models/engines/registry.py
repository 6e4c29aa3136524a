"""The engines by name."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from boatyard.core.machine import Machine
from boatyard.models.engines.base import Engine

if TYPE_CHECKING:
    from boatyard.models.network import Embedder, Network


def create(
    network: "Network | Embedder",
    shape: Sequence[int],
    machine: Machine,
    graphs: Path | None,
) -> Engine:
    """The engine for a network in eval mode.

    Args:
        network: maps uint8 views [n, *shape] to float32 [n, d].
        shape: of one view, [3, s, s].
        machine: which engine, on what device; its precision is the backbone's under 'torch'. 'onnx' computes in fp32 on
            the CPU, and so do heads.
        graphs: folder that keeps exported graphs, so that the next stage need not export again; None: keep none.

    Raises:
        UserError: the network is too large for ONNX.
    """
    if machine.engine == "onnx":
        from boatyard.models.engines.onnx_engine import OnnxEngine
        from boatyard.models.onnx_graphs import exported

        return OnnxEngine(exported(network, shape, graphs), machine.workers)
    from boatyard.models.engines.torch_engine import TorchEngine

    return TorchEngine(network, machine.device, machine.precision)
