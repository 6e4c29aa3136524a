"""A small model with random weights, as the pipeline would have saved it: models/model.safetensors and model.onnx."""

from pathlib import Path
from typing import Literal

import torch

from boatyard.core import paths
from boatyard.core.files import write_bytes
from boatyard.export import onnx_file
from boatyard.images.views import Preprocessing
from boatyard.models import backbones, checkpoint
from boatyard.models.model_header import Header
from boatyard.models.network import Network, embedder, head
from boatyard.models.onnx_graphs import exported

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
    """A frozen classifier whose answers differ from photo to photo, and its header."""
    torch.manual_seed(1)
    body = backbones.create(backbone, "none", size=size)
    published = body.preprocessing
    preprocessing = Preprocessing(size, crop, published.interpolation, published.mean, published.std)
    top = head(body.width, hidden, 0.4, len(CLASSES), TEMPERATURE)
    whole = Network(embedder(body, preprocessing), top)
    with torch.inference_mode():
        views = torch.randint(0, 256, (4, 3, size, size), dtype=torch.uint8)
        spread = whole.embedder(views).std().item()
    with torch.no_grad():  # random weights leave embeddings small: make the classes differ by some nats
        next(iter(top.parameters())).mul_(3 / spread)
    about = Header(CLASSES, backbone, hidden, 0.4, preprocessing, TEMPERATURE, {"seed": 0, "augment": AUGMENT})
    return whole.eval().requires_grad_(False), about


def write(root: Path) -> None:
    """Both files of the model, below root/models."""
    whole, about = network()
    (root / paths.MODEL).parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(root / paths.MODEL, whole, about)
    write_bytes(root / paths.ONNX, onnx_file.build(exported(whole, about.preprocessing.shape, None), about))
