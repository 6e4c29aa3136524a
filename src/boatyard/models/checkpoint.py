"""Saving and loading a trained model: one safetensors file with everything that it takes to use it."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from boatyard.core.errors import UserError, cannot_write
from boatyard.core.files import replacing
from boatyard.models import backbones, model_header
from boatyard.models.network import Network, embedder, head


def save(path: Path, network: Network, about: model_header.Header) -> None:
    """Write the network's weights and its header; the same network gives the same bytes.

    Raises:
        UserError: the file can't be written.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with replacing(path) as temporary:
        temporary.touch()
        rights = temporary.stat().st_mode  # safetensors would let the owner alone read it
        try:
            save_file(state, temporary, metadata=model_header.encode(about))
        except SafetensorError as error:
            raise cannot_write(path, error) from None
        temporary.chmod(rights)


def load(path: Path) -> tuple[Network, model_header.Header]:
    """Read a model file: the network on the CPU, frozen and in eval mode, and its header.

    Raises:
        UserError: the file is missing or damaged, or its weights do not fit its header.
    """
    about = model_header.read(path)
    try:
        with safe_open(path, framework="numpy") as file:
            model_header.head_width(file, about)  # before a false header fills the memory
        network = build(about)
        backbones.load_state(network, load_file(path))
    except (UserError, SafetensorError, ValueError, RuntimeError, AssertionError) as error:
        raise model_header.misfit(path, error) from None
    return network.eval().requires_grad_(False), about


def build(about: model_header.Header) -> Network:
    """The network that a header describes, its weights not yet loaded."""
    backbone = backbones.create(about.backbone, "none", size=about.preprocessing.size)
    top = head(backbone.width, about.hidden, about.dropout, len(about.classes), about.temperature)
    return Network(embedder(backbone, about.preprocessing), top)
