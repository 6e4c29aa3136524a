"""A small model with random weights, in the four files of the pipeline."""

from pathlib import Path
from typing import Literal

import torch

from boatyard.core import paths
from boatyard.export import onnx_file
from boatyard.images.views import Preprocessing
from boatyard.models import backbones, model_file, onnx_graphs
from boatyard.models.frozen_backbone import FrozenBackbone
from boatyard.models.model_header import Header
from boatyard.models.network import Network, embedder, head, head_weights

CLASSES = ["barge", "canoe", "ferry"]
TEMPERATURE = 1.25
AUGMENT = {
    "scale": [0.5, 1.0],
    "aspect": [0.75, 1.3333],
    "rotation": 10.0,
    "horizontal_flip": True,
    "vertical_flip": False,
    "brightness": 0.1,
    "contrast": 0.0,
    "saturation": 0.0,
    "hue": 0.0,
}


def network(
    backbone: str = "squeezenet1_1", size: int = 64, crop: float | Literal["squash"] = 0.875, hidden: int = 8
) -> tuple[Network, Header]:
    """A frozen classifier with different results for different photos, and its header."""
    torch.manual_seed(1)
    random = backbones.create(backbone, "none", size=size)
    published = random.preprocessing
    preprocessing = Preprocessing(size, crop, published.interpolation, published.mean, published.std)
    classifier = Network(embedder(random, preprocessing), head(random.width, hidden, 0.4, len(CLASSES), TEMPERATURE))
    with torch.inference_mode():
        views = torch.randint(0, 256, (4, 3, size, size), dtype=torch.uint8)
        spread = classifier.embedder(views).std().item()
    with torch.no_grad():  # random weights give small embeddings: let the classes differ by some nats
        next(iter(classifier.head.parameters())).mul_(3 / spread)
    header = Header(CLASSES, backbone, hidden, 0.4, preprocessing, TEMPERATURE, {"seed": 0, "augment": AUGMENT})
    return classifier.eval().requires_grad_(False), header


def graph(classifier: Network, size: int = 64) -> bytes:
    """The network's ONNX graph."""
    return onnx_graphs.of_network(
        FrozenBackbone.of(classifier.embedder), head_weights(classifier.head), [3, size, size], None
    )


def write(root: Path) -> None:
    """Write the files of the model into root/models."""
    classifier, header = network()
    (root / paths.MODEL).parent.mkdir(parents=True, exist_ok=True)
    model_file.save(root / paths.MODEL, classifier, header, paths.MODEL_BACKBONE.name)
    onnx_file.save(root / paths.ONNX, onnx_file.build(graph(classifier), header), paths.ONNX_DATA.name)
