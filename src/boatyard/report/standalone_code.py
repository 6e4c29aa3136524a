"""Python code that uses a model without Boatyard. The model card shows it, and a test runs it as shown."""

from boatyard.models.model_header import KEY, Header

_OPEN = 'ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")'


def onnx() -> str:
    """A photo's probabilities from model.onnx, with ONNX Runtime."""
    return f"""
import json
import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # otherwise official builds of onnxruntime send usage data

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession("model.onnx")
classes = json.loads(session.get_modelmeta().custom_metadata_map["{KEY}"])["classes"]
photo = np.asarray({_OPEN})
(probabilities,) = session.run(None, {{"photo": photo}})
print(classes[probabilities.argmax()], probabilities.max())
""".strip()


def torch(about: Header) -> str:
    """The same from model.safetensors, with PyTorch and the libraries that provide the backbone."""
    libraries, network = _backbone(about)
    imports = "\n".join(f"import {name}" for name in sorted({*libraries, "torch"}))
    view = about.preprocessing
    hidden = 'x = linear(x, state["head.hidden.weight"], state["head.hidden.bias"]).relu()\n' if about.hidden else ""
    size, method = f"({view.size}, {view.size})", f"Image.{view.interpolation.upper()}"
    if view.crop == "squash":
        shown = f"{_OPEN}.resize({size}, {method})"
    else:
        bleed = f", bleed={(1 - view.crop) / 2!r}" if view.crop < 1 else ""
        shown = f"ImageOps.fit({_OPEN}, {size}, {method}{bleed})"
    return f"""
import json

{imports}
from PIL import Image, ImageOps
from safetensors import safe_open
from safetensors.torch import load_file
from torch.nn.functional import linear
from torchvision.transforms.functional import normalize, to_tensor

with safe_open("model.safetensors", "pt") as file:
    state = {{name: file.get_tensor(name) for name in file.keys()}}
    about = json.loads(file.metadata()["{KEY}"])
if "part" in about:
    state |= load_file(about["part"]["file"])  # the backbone
view = {shown}
x = normalize(to_tensor(view), about["preprocessing"]["mean"], about["preprocessing"]["std"])[None]
{network}
{hidden}x = linear(x, state["head.classes.weight"], state["head.classes.bias"])[0] / about["temperature"]
print(about["classes"][x.argmax()], x.softmax(0).max().item())
""".strip()


def _backbone(about: Header) -> tuple[list[str], str]:
    """The libraries that provide a backbone, and the lines that run it on x."""
    if "+" not in about.backbone:
        library, network = _network(about.backbone, about.preprocessing.size)
        return [library], f"{network}\n{_load('')}\nx = backbone(x)"
    libraries: list[str] = []
    lines = ['scale, shift = state["embedder.backbone.scale"], state["embedder.backbone.shift"]', "parts = []"]
    for number, name in enumerate(about.backbone.split("+")):
        library, network = _network(name, about.preprocessing.size)
        libraries.append(library)
        own = f"x * scale[{number}] + shift[{number}]"
        lines += [network, _load(f"networks.{number}."), f"parts.append(backbone({own}))"]
    return libraries, "\n".join([*lines, "x = torch.cat(parts, 1)"])


def _load(prefix: str) -> str:
    names = "for name in backbone.eval().state_dict()"
    return f'backbone.load_state_dict({{name: state[f"embedder.backbone.{prefix}{{name}}"] {names}}})'


def _network(name: str, size: int) -> tuple[str, str]:
    """The library that provides a backbone, and the lines that build it without its classification layer."""
    if name.startswith("efficientnet_lite"):
        return "timm", f'backbone = timm.create_model("tf_{name}", num_classes=0)'
    if name.startswith("timm/"):
        return "timm", f'backbone = timm.create_model("{name.removeprefix("timm/")}", num_classes=0)'
    settings = ""
    if name.startswith("vit_"):
        settings = f", image_size={size}"
    elif name in ("googlenet", "inception_v3"):
        settings = ", aux_logits=False, transform_input=True, init_weights=False"
    kind = "Conv2d" if name.startswith("squeezenet") else "Linear"
    return (
        "torchvision",
        f"""
backbone = torchvision.models.get_model("{name}"{settings})
layers = [name for name, layer in backbone.named_modules() if isinstance(layer, torch.nn.{kind})]
backbone.set_submodule(layers[-1], torch.nn.Identity())
""".strip(),
    )
