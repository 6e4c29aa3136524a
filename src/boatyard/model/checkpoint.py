"""Saving and loading a trained model: one safetensors file with everything that it takes to use it."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from boatyard.errors import UserError
from boatyard.files import replacing
from boatyard.model import backbones, header
from boatyard.model.network import Classifier, Embedder, head


def save(path: Path, network: Classifier, about: header.Header) -> None:
    """Write the network's weights and its header; the same network gives the same bytes."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with replacing(path) as temporary:
        save_file(state, temporary, metadata=header.encode(about))


def load(path: Path) -> tuple[Classifier, header.Header]:
    """Read a model file: the network on the CPU in eval mode, and its header.

    Raises:
        UserError: the file is missing or damaged, or its weights do not fit its header.
    """
    about = header.read(path)
    network = build(about)
    try:
        backbones.load_state(network, load_file(path))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()[:200]
        raise UserError(f"{path} does not hold the network that its header names ({reason}): train it again") from None
    return network.eval(), about


def build(about: header.Header) -> Classifier:
    """The network that a header describes, its weights not yet loaded."""
    backbone = backbones.create(about.backbone, "none", about.preprocessing.size)
    top = head(backbone.width, about.hidden, about.dropout, len(about.classes))
    return Classifier(Embedder(backbone.network, about.preprocessing), top)
