"""The layers of a network with output shapes and parameters: plots/layers.csv and `boatyard summary`."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from boatyard.models.network import Network


@dataclass(frozen=True)
class Layer:
    """A layer, or a block of several: a row of plots/layers.csv.

    Attributes:
        name: its path in the network, such as `backbone.layer1.0`.
        kind: its class, such as `Bottleneck`; `Parameter` for a parameter outside any layer.
        output: the shape of its output for one view, such as `256 × 56 × 56`; empty if it does not run as a
            layer, like the projection inside PyTorch's attention.
        parameters: their number, each counted once in the network.
        trained: the number of those that training changed.
    """

    name: str
    kind: str
    output: str
    parameters: int
    trained: int


def summarise(network: "Network", trained: "Collection[nn.Parameter]", *, every_layer: bool = False) -> list[Layer]:
    """The layers from the input to the output; their parameters add up to the network's.

    The network is put into eval mode and runs once, on a black view.

    Args:
        network: on the CPU.
        trained: the parameters that training changed.
        every_layer: list single layers; otherwise blocks, with containers and whole networks replaced by their parts.
    """
    import torch

    from boatyard.models.concatenated import ConcatenatedBackbones
    from boatyard.models.network import parameter_count

    backbone = network.embedder.backbone
    networks = [*backbone.networks] if isinstance(backbone, ConcatenatedBackbones) else [backbone]
    # A part with more than half of a published network is not a block: that network itself, the encoder of a ViT.
    large = {backbone} | {
        part
        for published in networks
        for part in published.modules()
        if parameter_count(part) > parameter_count(published) / 2
    }

    def is_open(module: "nn.Module") -> bool:
        container = isinstance(module, torch.nn.Sequential | torch.nn.ModuleList | torch.nn.ModuleDict)
        return container or (every_layer and any(module.children())) or module in large

    parts = [("backbone", backbone), ("head", network.head)]
    found = [part for name, module in parts for part in _parts(name, module, is_open)]
    shapes: dict[str, str] = {}

    def record(name: str) -> Callable[[Any, Any, Any], None]:
        return lambda _module, _inputs, output: shapes.update({name: _shape(output)})

    hooks = [part.register_forward_hook(record(name)) for name, part in found if isinstance(part, torch.nn.Module)]
    with torch.inference_mode():
        network.eval()(torch.zeros((1, *network.embedder.preprocessing.shape), dtype=torch.uint8))
    for hook in hooks:
        hook.remove()

    changed, counted = set(map(id, trained)), set[int]()
    rows = []
    for name, part in found:
        own = list(part.parameters()) if isinstance(part, torch.nn.Module) else [part]
        own = [parameter for parameter in own if id(parameter) not in counted]
        counted |= set(map(id, own))
        sizes = [(parameter.numel(), id(parameter) in changed) for parameter in own]
        shape = shapes.get(name, "") if isinstance(part, torch.nn.Module) else _shape(part[None])
        rows.append(
            Layer(name, type(part).__name__, shape, sum(n for n, _ in sizes), sum(n for n, is_new in sizes if is_new))
        )
    return rows


def _parts(
    name: str, module: "nn.Module", is_open: "Callable[[nn.Module], bool]"
) -> "Iterator[tuple[str, nn.Module | nn.Parameter]]":
    """A module, or its own parameters and its parts if it is to be opened; without what does nothing."""
    from torch import nn

    if isinstance(module, nn.Identity):
        return
    if not is_open(module) or not any(module.children()):
        yield name, module
        return
    for own, parameter in module.named_parameters(recurse=False):
        yield f"{name}.{own}", parameter
    for child, part in module.named_children():
        yield from _parts(f"{name}.{child}", part, is_open)


def _shape(output: Any) -> str:
    """The shape of a layer's output without the batch; of the first tensor if it returns several."""
    first = output[0] if isinstance(output, tuple) else output
    return " × ".join(map(str, first.shape[1:])) if hasattr(first, "shape") else ""
