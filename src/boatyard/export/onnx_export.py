"""Exporting a model to one ONNX file, which is not written unless it says of real photos what the model says."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from boatyard.core.errors import UserError
from boatyard.export import onnx_file
from boatyard.images.decoding import UnreadablePhoto, open_photo
from boatyard.images.views import plain_view
from boatyard.models.model_header import Header
from boatyard.models.network import Network
from boatyard.models.onnx_graphs import exported
from boatyard.models.onnx_runtime import session

# Largest difference of a probability between PyTorch and ONNX Runtime. They add in different orders: 3.1e-6 was
# the largest on the 499 validation photos of the default run.
TOLERANCE = 1e-4

PHOTOS = 32  # to check on; enough to meet every kind of photo that a data set usually has


@dataclass(frozen=True)
class Check:
    """What the exported file was held against.

    Attributes:
        photos: how many.
        difference: the largest of any class's probability.
        other_answers: photos whose most probable class differs.
    """

    photos: int
    difference: float
    other_answers: int

    def __str__(self) -> str:
        return f"on {self.photos} photos, no probability differs from the model's by more than {TOLERANCE:g}"


def export(network: Network, about: Header, photos: Sequence[Path], graphs: Path | None) -> tuple[bytes, Check]:
    """The content of an ONNX file that maps a photo to probabilities, checked on real photos.

    Args:
        network: on the CPU, in eval mode.
        about: its header, which goes into the file.
        photos: files to check on, at least one; of more than `PHOTOS`, as many, evenly spaced.
        graphs: folder that keeps exported networks, if any.

    Raises:
        UserError: a probability differs from the network's own by more than `TOLERANCE`, a photo can't be read, or the
            network can't be written as ONNX.
    """
    photos = photos[:: -(-len(photos) // PHOTOS)]
    content = onnx_file.build(exported(network, about.preprocessing.shape, graphs), about)
    check = compare(content, network, about, photos)
    if not check.difference <= TOLERANCE:
        raise UserError(
            f"not exported: on {check.photos} photos, a probability of the ONNX file differs from the model's by "
            f"{check.difference:.2g}, more than {TOLERANCE:g}; please report this with the name of the backbone "
            f"({about.backbone})"
        )
    return content, check


@torch.inference_mode()
def compare(content: bytes, network: Network, about: Header, photos: Sequence[Path]) -> Check:
    """The whole file on each photo's pixels, against PyTorch on the plain view that is drawn of the same pixels.

    Raises:
        UserError: a photo can't be read.
    """
    run = session(content)
    difference, others = 0.0, 0
    for path in photos:
        try:
            photo = open_photo(path)
        except UnreadablePhoto as error:
            raise UserError(f"{path}, to check the exported file on, can't be read ({error}): name others") from None
        view = torch.from_numpy(plain_view(photo, about.preprocessing))[None]
        expected = network(view)[0].double().exp().numpy()
        (found,) = run.run([onnx_file.PROBABILITIES], {onnx_file.PHOTO: np.asarray(photo)})
        difference = float(np.maximum(difference, np.abs(found - expected).max()))  # NaN stays
        others += int(found.argmax() != expected.argmax())
    return Check(len(photos), difference, others)
