"""The engines: an entry in `ENGINES` is all that it takes to add one."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from boatyard.core import machine as settings
from boatyard.core.errors import UserError
from boatyard.core.machine import Machine
from boatyard.models.engines.base import Engine

if TYPE_CHECKING:  # `predict` starts without them
    from boatyard.models.frozen_backbone import FrozenBackbone
    from boatyard.models.head import HeadWeights


@dataclass(frozen=True)
class Entry:
    """An engine that BOATYARD_ENGINE can name.

    Its functions import what they need when they are called, so that torch is imported only where an engine uses it.

    Attributes:
        for_views: creates the engine of a backbone, with a head on it or without (None): from uint8 views [n, *shape]
            to float32 [n, d]. Also takes the shape of one view, [3, s, s]; the machine, already resolved; and the
            folder in which it may cache what it compiles, if any.
        for_embeddings: creates the engine of a head alone: from float32 embeddings [n, width] to float32 [n, classes].
        libraries: distributions whose version may change what it computes; embeddings of another are not used.
        device_kinds: kinds of device that it runs on, such as 'cpu'; None: all that torch has.
        precisions: whether the backbone computes in BOATYARD_PRECISION; otherwise in fp32, as heads always do.
    """

    for_views: "Callable[[FrozenBackbone, HeadWeights | None, Sequence[int], Machine, Path | None], Engine]"
    for_embeddings: "Callable[[HeadWeights, Machine], Engine]"
    libraries: Collection[str]
    device_kinds: Collection[str] | None = None
    precisions: bool = False

    def runs_on(self, device_kind: str) -> bool:
        return self.device_kinds is None or device_kind in self.device_kinds

    def precision(self, machine: Machine) -> str:
        """The precision in which it runs a backbone: 'fp32', 'bf16' or 'fp16'."""
        return machine.precision if self.precisions else "fp32"


def _onnx(
    backbone: "FrozenBackbone", head: "HeadWeights | None", shape: Sequence[int], machine: Machine, cache: Path | None
) -> Engine:
    from boatyard.models import onnx_graphs
    from boatyard.models.engines.onnx_engine import OnnxEngine

    if head is None:
        return OnnxEngine(onnx_graphs.of_backbone(backbone, shape, cache), machine.workers)
    return OnnxEngine(onnx_graphs.of_network(backbone, head, shape, cache), machine.workers)


def _onnx_head(head: "HeadWeights", machine: Machine) -> Engine:
    from boatyard.models import onnx_graphs
    from boatyard.models.engines.onnx_engine import OnnxEngine

    return OnnxEngine(onnx_graphs.of_head(head), machine.workers)


def _torch(
    backbone: "FrozenBackbone", head: "HeadWeights | None", shape: Sequence[int], machine: Machine, cache: Path | None
) -> Engine:
    from boatyard.models.engines.torch_engine import TorchEngine
    from boatyard.models.network import Network, head_module

    embedder = backbone.build()
    network = embedder if head is None else Network(embedder, head_module(head))
    return TorchEngine(network, machine.device, machine.precision)


def _torch_head(head: "HeadWeights", machine: Machine) -> Engine:
    from boatyard.models.engines.torch_engine import TorchEngine
    from boatyard.models.network import head_module

    return TorchEngine(head_module(head), machine.device)


# The first that runs on a kind of device is the default there.
ENGINES = {
    "onnx": Entry(_onnx, _onnx_head, ["onnxruntime"], device_kinds={"cpu"}),
    "torch": Entry(_torch, _torch_head, ["torch"], precisions=True),
}


def read_machine() -> Machine:
    """The settings of the environment, with an engine that runs on the device; see `machine.read` and `resolve`."""
    return resolve(settings.read())


def resolve(machine: Machine) -> Machine:
    """The machine with an engine that runs on its device: the one that was asked for, or the default.

    Raises:
        UserError: there is no such engine, or it does not run on the machine's device.
    """
    name = machine.engine
    if name is None:
        name = next(name for name, entry in ENGINES.items() if entry.runs_on(machine.kind))
    elif name not in ENGINES:
        raise UserError(f"BOATYARD_ENGINE is {name!r}; set it to {' or '.join(ENGINES)}, or unset it")
    elif not ENGINES[name].runs_on(machine.kind):
        kinds = " or ".join(ENGINES[name].device_kinds or ())
        raise UserError(
            f"BOATYARD_ENGINE is {name}, which only runs on {kinds}, but the device is {machine.device}; change either"
        )
    return replace(machine, engine=name)


def for_views(
    backbone: "FrozenBackbone", head: "HeadWeights | None", shape: Sequence[int], machine: Machine, cache: Path | None
) -> Engine:
    """The engine that runs a backbone, with a head on it or without; see `Entry`.

    Raises:
        UserError: the machine's engine can't be used, or can't run this network.
    """
    machine = resolve(machine)
    return entry(machine).for_views(backbone, head, shape, machine, cache)


def for_embeddings(head: "HeadWeights", machine: Machine) -> Engine:
    """The engine that runs a head alone; see `Entry`.

    Raises:
        UserError: the machine's engine can't be used.
    """
    machine = resolve(machine)
    return entry(machine).for_embeddings(head, machine)


def entry(machine: Machine) -> Entry:
    """The engine of a resolved machine."""
    return ENGINES[machine.engine or ""]
