"""Exporting a model to one ONNX file, which must agree with the model on real photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from boatyard.core.errors import UserError
from boatyard.export import onnx_file
from boatyard.images.decoding import UnreadablePhoto, open_photo
from boatyard.images.views import plain_view
from boatyard.models import onnx_graphs
from boatyard.models.frozen_backbone import FrozenBackbone
from boatyard.models.model_header import Header
from boatyard.models.network import Network, head_weights
from boatyard.models.onnx_runtime import session

# Largest allowed difference of a probability between PyTorch and ONNX Runtime. They sum in different orders: on the 499
# validation photos of the default run the largest was 3.1e-6.
TOLERANCE = 1e-4

PHOTOS = 32  # to check on, enough for every kind of photo that a dataset usually has


@dataclass(frozen=True)
class Check:
    """The comparison of an exported file with its model.

    Attributes:
        photos: their number.
        difference: the largest of any class's probability.
        changed: photos with another most probable class.
    """

    photos: int
    difference: float
    changed: int

    def __str__(self) -> str:
        return f"on {self.photos} photos, no probability differs from the model's by more than {TOLERANCE:g}"


def export(network: Network, header: Header, photos: Sequence[Path], graphs: Path | None) -> tuple[bytes, Check]:
    """The content of an ONNX file that maps a photo to probabilities, checked on real photos.

    Args:
        network: on the CPU, in eval mode.
        header: of the model; it goes into the file.
        photos: files to check on, at least one; of more than `PHOTOS`, about that many are used, evenly spaced.
        graphs: folder that caches exported backbones, if any.

    Raises:
        UserError: a probability differs from the network's own by more than `TOLERANCE`, a photo can't be read, or the
            network can't be written as ONNX.
    """
    photos = photos[:: -(-len(photos) // PHOTOS)]
    backbone, head = FrozenBackbone.of(network.embedder), head_weights(network.head)
    graph = onnx_graphs.of_network(backbone, head, header.preprocessing.shape, graphs)
    content = onnx_file.build(graph, header)
    check = compare(content, network, header, photos)
    if not check.difference <= TOLERANCE:
        raise UserError(
            f"not exported: on {check.photos} photos, a probability of the ONNX file differs from the model's by "
            f"{check.difference:.2g}, more than {TOLERANCE:g}; please report this with the name of the backbone "
            f"({header.backbone})"
        )
    return content, check


@torch.inference_mode()
def compare(content: bytes, network: Network, header: Header, photos: Sequence[Path]) -> Check:
    """Compare the file, given each photo's pixels, with PyTorch, given the plain view of the same pixels.

    Raises:
        UserError: a photo can't be read.
    """
    run = session(content)
    difference, changed = 0.0, 0
    for path in photos:
        try:
            photo = open_photo(path)
        except UnreadablePhoto as error:
            raise UserError(
                f"{path}, a photo to check the exported file on, can't be read ({error}): choose other photos"
            ) from None
        view = torch.from_numpy(plain_view(photo, header.preprocessing))[None]
        expected = network(view)[0].double().exp().numpy()
        (found,) = run.run([onnx_file.PROBABILITIES], {onnx_file.PHOTO: np.asarray(photo)})
        difference = float(np.maximum(difference, np.abs(found - expected).max()))  # NaN stays
        changed += int(found.argmax() != expected.argmax())
    return Check(len(photos), difference, changed)
