"""Exporting a model to one ONNX file, which must agree with the model on real photos."""

from collections.abc import Sequence
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


def export(network: Network, header: Header, photos: Sequence[Path], graphs: Path | None) -> tuple[bytes, str]:
    """The content of an ONNX file that maps a photo to probabilities, checked on real photos.

    Args:
        network: on the CPU, in eval mode.
        header: of the model; it goes into the file.
        photos: files to check on, at least one; of more than `PHOTOS`, about that many are used, evenly spaced.
        graphs: folder that caches exported backbones, if any.

    Returns:
        The content, and a sentence that says what was checked.

    Raises:
        UserError: a probability differs from the network's own by more than `TOLERANCE`, a photo can't be read, or the
            network can't be written as ONNX.
    """
    photos = photos[:: -(-len(photos) // PHOTOS)]
    backbone, head = FrozenBackbone.of(network.embedder), head_weights(network.head)
    graph = onnx_graphs.of_network(backbone, head, header.preprocessing.shape, graphs)
    content = onnx_file.build(graph, header)
    difference = largest_difference(content, network, header, photos)
    if not difference <= TOLERANCE:  # NaN is not either
        raise UserError(
            f"not exported: on {len(photos)} photos, a probability of the ONNX file differs from the model's by "
            f"{difference:.2g}, more than {TOLERANCE:g}; please report this with the name of the backbone "
            f"({header.backbone})"
        )
    return content, f"on {len(photos)} photos, no probability differs from the model's by more than {TOLERANCE:g}"


@torch.inference_mode()
def largest_difference(content: bytes, network: Network, header: Header, photos: Sequence[Path]) -> float:
    """Between a probability of the file, given a photo's pixels, and PyTorch's, given its plain view.

    Raises:
        UserError: a photo can't be read.
    """
    run = session(content)
    difference = 0.0
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
    return difference
