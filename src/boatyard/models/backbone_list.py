"""`boatyard backbones`: what `model.backbone` can be, with the figures that were published for it."""

import csv
import difflib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from fnmatch import fnmatchcase
from typing import Any

import timm
import torch
from huggingface_hub import try_to_load_from_cache
from torchvision import models
from tqdm import tqdm

from boatyard.core.errors import UserError
from boatyard.models import backbones
from boatyard.models.network import parameter_count

# FP32 accuracy in https://github.com/tensorflow/tpu/blob/master/models/official/efficientnet/lite/README.md
_LITE_TOP1 = {"efficientnet_lite0": 0.751, "efficientnet_lite1": 0.767, "efficientnet_lite2": 0.776}

# What timm looks for in a Hugging Face repository, if its configuration does not name a file.
_HUB_FILES = [
    *("model.safetensors", "pytorch_model.bin"),
    *("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
]


@dataclass(frozen=True)
class Choice:
    """A backbone that can be chosen, with its default weights."""

    name: str
    pixels: int  # side of its views
    parameters: int  # of the published network, with its classifier
    top1: float | None  # on ImageNet-1K's validation photos, as published; None: its package does not say
    weights: str  # 'installed' (in a package), 'cached' (on this machine), or 'download'


ORDERS: dict[str, Callable[[Choice], Any]] = {
    "top1": lambda choice: (-(choice.top1 or 0), choice.name),
    "parameters": lambda choice: (choice.parameters, choice.name),
    "name": lambda choice: choice.name,
}


def find(pattern: str) -> list[Choice]:
    """The backbones with a name like `pattern`: torchvision's and EfficientNet-Lite, or timm's if it is 'timm/…'.

    In a pattern, * stands for any text. timm's names match with and without their tag. Each of them is built, without
    memory for its weights, to count its parameters, which takes up to a second.

    Raises:
        UserError: there is no such backbone.
    """
    of_timm = pattern.startswith("timm/")
    if of_timm:
        known = [f"timm/{name}" for name in timm.list_models(pretrained=True)]
    else:
        known = [*_LITE_TOP1, *models.list_models(module=models)]
    names = [name for name in known if fnmatchcase(name, pattern) or fnmatchcase(name.partition(".")[0], pattern)]
    if not names:
        close = difflib.get_close_matches(pattern, known, n=3)
        fix = f"did you mean {' or '.join(close)}?" if close else "* stands for any text, as in '*resnet*'"
        raise UserError(f"no backbone has the name {pattern!r}; {fix}")
    if of_timm:
        bar = tqdm(names, "counting parameters", unit=" backbones", disable=None, leave=False)
        return [_timm(name) for name in bar]
    return [_lite(name) if name in _LITE_TOP1 else _torchvision(name) for name in names]


def _lite(name: str) -> Choice:
    pixels = timm.get_pretrained_cfg(f"tf_{name}").input_size[-1]
    return Choice(name, pixels, _parameters(f"tf_{name}"), _LITE_TOP1[name], "installed")


def _torchvision(name: str) -> Choice:
    weights = models.get_model_weights(name).DEFAULT
    return Choice(
        name,
        pixels=weights.transforms().crop_size[0],
        parameters=weights.meta["num_params"],
        top1=round(weights.meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100, 5),
        weights="cached" if backbones.cached_file(weights).is_file() else "download",
    )


def _timm(name: str) -> Choice:
    model = name.removeprefix("timm/")
    config = timm.get_pretrained_cfg(model)
    files = [config.hf_hub_filename] if config.hf_hub_filename else _HUB_FILES
    cached = config.hf_hub_id and any(isinstance(try_to_load_from_cache(config.hf_hub_id, file), str) for file in files)
    return Choice(name, config.input_size[-1], _parameters(model), None, "cached" if cached else "download")


def _parameters(model: str) -> int:
    with torch.device("meta"):
        return parameter_count(timm.create_model(model, pretrained=False))


def text(choices: Sequence[Choice], output_format: str) -> str:
    """The choices as 'table', 'csv' or 'json'."""
    if output_format == "json":
        return json.dumps([asdict(choice) for choice in choices], indent=2) + "\n"
    if output_format == "csv":
        lines = io.StringIO(newline="")
        writer = csv.DictWriter(lines, [field.name for field in fields(Choice)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(asdict, choices))
        return lines.getvalue()
    return _table(choices)


def _table(choices: Sequence[Choice]) -> str:
    """Up to 38 characters and the longest name wide; 80 for all but a few of timm's."""
    width = max(len(choice.name) for choice in choices)
    rows = [f"{'backbone':{width}}  pixels     parameters  top-1  weights"]
    for choice in choices:
        top1 = "" if choice.top1 is None else f"{choice.top1:.3f}"
        rows.append(f"{choice.name:{width}}  {choice.pixels:6}  {choice.parameters:13,}  {top1:5}  {choice.weights}")
    rows += [
        "",
        "pixels: the side of a view · parameters: with the published classifier",
        "top-1: on ImageNet-1K, published for the default weights; timm does not say",
        "weights: installed (in a package), cached (on this machine), or download",
    ]
    return "\n".join(rows) + "\n"
