"""Which layers of a network training has changed."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from torch import nn

from boatyard.core import tables
from boatyard.models.layer_summary import Layer, summarise
from boatyard.models.network import Network
from boatyard.params.schema import Finetune
from boatyard.training import finetuning


def layers(network: Network, finetune: Finetune, *, every_layer: bool = False) -> list[Layer]:
    """The layers of a trained network; see `layer_summary.summarise`.

    Args:
        network: on the CPU; it is put into eval mode.
        finetune: the settings that it was trained with.
        every_layer: list single layers instead of blocks.
    """
    blocks: Iterable[list[nn.Parameter]] = finetuning.blocks_to_train(network, finetune) if finetune.epochs else []
    return summarise(network, [*network.head.parameters(), *chain(*blocks)], every_layer=every_layer)


def write(path: Path, network: Network, finetune: Finetune) -> None:
    """Write plots/layers.csv; see `layers`."""
    tables.write_rows(path, Layer, layers(network, finetune))
