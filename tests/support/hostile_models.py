"""Damaged and malicious model files and weights, with the error for each, as listed in docs/robustness.md."""

import functools
import json
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import small_model
import torch
from safetensors.torch import save_file
from torch import Tensor

from boatyard.models import model_header
from boatyard.models.model_header import Header


class Intruder:
    """Unpickling it would create a file."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self.trace,)


@dataclass(frozen=True)
class Case:
    """A kind of file.

    Attributes:
        what: its name in docs/robustness.md.
        make: writes files of that kind into a folder; code in them would create the file 'trace' there.
        message: the error without the file's name; '…' is any text.
        weights: the files are for model.weights, not models/model.safetensors.
    """

    what: str
    make: Callable[[Path], None]
    message: str
    weights: bool = False


@functools.cache
def sound() -> tuple[Mapping[str, Tensor], Header]:
    """The tensors of a model file of three classes, and its header."""
    network, header = small_model.network()
    return {name: tensor.contiguous() for name, tensor in network.state_dict().items()}, header


def write(path: Path, header: Header | None = None, **changes: Tensor | None) -> None:
    """A model file with another header, or with some tensors changed or removed."""
    tensors, usual = sound()
    merged = {**tensors, **changes}
    present = {name: tensor for name, tensor in merged.items() if tensor is not None}
    save_file(present, path, metadata=model_header.encode(header or usual))


def with_metadata(*contents: str | None) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for number, content in enumerate(contents):
            metadata = {"format": "pt"} if content is None else {model_header.KEY: content}
            save_file(dict(sound()[0]), folder / f"{number}.safetensors", metadata=metadata)

    return make


def with_header(**changes: Any) -> Callable[[Path], None]:
    """A JSON header with changed values."""
    content = json.loads(model_header.encode(sound()[1])[model_header.KEY])
    return with_metadata(json.dumps(content | changes))


def with_part(*names: str) -> Callable[[Path], None]:
    """Files that name another as their second one."""
    parts = [model_header.Part(name, "0" * 64) for name in names]
    return with_metadata(*(model_header.encode(sound()[1], part)[model_header.KEY] for part in parts))


def with_changed_header(*several: Mapping[str, Any]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for number, changes in enumerate(several):
            write(folder / f"{number}.safetensors", replace(sound()[1], **changes))

    return make


def with_tensors(*several: Mapping[str, Tensor | None]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for number, changes in enumerate(several):
            write(folder / f"{number}.safetensors", **changes)

    return make


def changed(name: str, value: float) -> dict[str, Tensor]:
    tensor = sound()[0][name].clone()
    tensor.view(-1)[7] = value
    return {name: tensor}


def not_safetensors(folder: Path) -> None:
    write(folder / "whole")
    whole = (folder / "whole").read_bytes()
    (folder / "whole").unlink()
    contents = [b"", b"<html><body>404</body></html>", bytes(1000), b"{]{]" * 9, whole[:-1], whole[: len(whole) // 2]]
    contents += [whole[:5], whole + b"\0", struct.pack("<Q", 2**60) + whole[8:]]
    contents.append(pickle.dumps(Intruder(folder / "trace")))
    for number, content in enumerate(contents):
        (folder / f"{number}.safetensors").write_bytes(content)
    torch.save({"weight": Intruder(folder / "trace")}, folder / "torch.safetensors")


def large(key: str) -> Callable[[Path], None]:
    """50 MB of metadata under one key."""
    metadata = {key: "x" * 50_000_000}
    return lambda folder: save_file({"weight": torch.zeros(2)}, folder / "0.safetensors", metadata=metadata)


def pickled(folder: Path) -> None:
    intruder = Intruder(folder / "trace")
    torch.save({"conv": intruder}, folder / "new.pth")
    torch.save({"conv": intruder}, folder / "old.pth", _use_new_zipfile_serialization=False)
    torch.save(intruder, folder / "alone.pth")
    (folder / "plain.pth").write_bytes(pickle.dumps({"conv": intruder}))
    with (folder / "array.pth").open("wb") as file:
        np.save(file, np.array([intruder], object), allow_pickle=True)
    network = torch.nn.Sequential(torch.nn.Linear(2, 2))
    torch.save(network, folder / "network.pth")
    with zipfile.ZipFile(folder / "zip.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(intruder))


def not_tensors(folder: Path) -> None:
    (folder / "empty.pth").touch()
    (folder / "noise.safetensors").write_bytes(bytes(range(256)) * 20)
    (folder / "noise.pth").write_bytes(bytes(range(256)) * 20)
    for kind, write_to in ((".pth", torch.save), (".safetensors", save_file)):
        path = folder / f"whole{kind}"
        write_to({"weight": torch.zeros(99)}, path)
        content = path.read_bytes()
        path.unlink()
        (folder / f"cut{kind}").write_bytes(content[: len(content) // 2])


def not_state_dict(folder: Path) -> None:
    torch.save([1, 2], folder / "list.pth")
    torch.save({"state_dict": {"a": torch.zeros(1)}, "epoch": 3}, folder / "nested.pth")


def of_another_network(folder: Path) -> None:
    torch.save({"fc.weight": torch.zeros(2, 2)}, folder / "other.pth")
    state = published()
    torch.save({**state, "features.0.weight": torch.zeros(2)}, folder / "shape.pth")
    save_file({name: tensor for name, tensor in state.items() if "bias" not in name}, folder / "fewer.safetensors")


def published() -> dict[str, Tensor]:
    """The tensors of a backbone, as published."""
    from torchvision.models import squeezenet1_1

    return dict(squeezenet1_1(weights=None).state_dict())


def not_finite(folder: Path) -> None:
    state = published()
    state["features.3.squeeze.bias"][2] = float("nan")
    save_file(state, folder / "nan.safetensors")


MISMATCH = "does not contain the network that its header describes"
NETWORK = f"{MISMATCH} (…): train it again"
FOREIGN = "has no Boatyard metadata: it was written by another tool; train a model here"
METADATA = "has damaged metadata (…): train or fetch the model again"

CASES = [
    Case(
        "a pickle, a web page, zeros, nothing; truncated, too long; a header of 2⁶⁰ bytes",
        not_safetensors,
        "is not a safetensors file (…): train or fetch it again",
    ),
    Case("no Boatyard metadata", with_metadata(None), FOREIGN),
    Case("50 MB of another tool's metadata", large("other"), FOREIGN),
    Case("50 MB of Boatyard metadata", large(model_header.KEY), METADATA),
    Case("metadata that is not JSON, or endlessly nested", with_metadata("", "{", "[1]", "7", "[" * 100_000), METADATA),
    Case("metadata of another version", with_header(format=99), "has format 99, but this version reads …"),
    Case("a value of the wrong type", with_header(hidden="256"), "has damaged metadata (hidden: Input should be …"),
    Case("a value out of its range", with_header(dropout=2.0), "has damaged metadata (dropout is out of range): …"),
    Case(
        "a class name that is a path, a terminal command, empty or a duplicate",
        with_changed_header(*({"classes": ["a", "b", name]} for name in ("../c", "\x1b[2J", "", "a"))),
        "has damaged metadata (classes is out of range): …",
    ),
    Case(
        "more or fewer classes than the network's outputs",
        with_changed_header({"classes": ["a", "b"]}, {"classes": ["a", "b", "c", "d"]}),
        f"{MISMATCH} (head.classes.weight has shape [3, 8], but the header …",
    ),
    Case(
        "a head that would take 20 GB",
        with_changed_header({"classes": [f"class {number}" for number in range(300_000)], "hidden": 16384}),
        f"{MISMATCH} (head.hidden.weight has shape [8, 512], but the header …",
    ),
    Case(
        "a backbone that does not exist or is on somebody's page; two that can't be combined",
        with_changed_header(
            {"backbone": "resnet9000"}, {"backbone": "timm/hf-hub:a/b"}, {"backbone": "squeezenet1_1+timm/mvitv2_tiny"}
        ),
        NETWORK,
    ),
    Case(
        "a hundred backbones side by side",
        with_changed_header({"backbone": "+".join(["resnet18"] * 100)}),
        f"{MISMATCH} (model.backbone: 100 backbones, but at most 8 can be …",
    ),
    Case("a backbone other than that of the weights", with_changed_header({"backbone": "squeezenet1_0"}), NETWORK),
    Case(
        "weights with a wrong shape, missing weights, additional weights",
        with_tensors({"head.classes.bias": torch.zeros(4)}, {"head.hidden.bias": None}, {"more": torch.zeros(1)}),
        NETWORK,
    ),
    Case(
        "weights that are NaN or infinite",
        with_tensors(
            changed("embedder.backbone.features.0.weight", float("nan")), changed("head.hidden.weight", float("inf"))
        ),
        f"{MISMATCH} (… contains NaN or infinity): train it again",
    ),
    Case(
        "a second file with the backbone's weights, which is missing",
        with_part("backbone.safetensors"),
        "needs …/backbone.safetensors, which is missing: run `dvc pull …`, or copy it from where the model came from",
    ),
    Case(
        "… is damaged, or of another model",
        with_part("0.safetensors"),
        "needs another …, this one is damaged or of another model: run `dvc pull --force …",
    ),
    Case(
        "… is named by a path",
        with_part("../backbone.safetensors", "/etc/passwd", "..", "a\\b"),
        "has damaged metadata (part.file is not a file name): train or fetch the model again",
    ),
    Case(
        "weights with code in them, in any of torch's, NumPy's and Python's formats",
        pickled,
        "is damaged, or contains more than tensors; save `model.state_dict()`",
        weights=True,
    ),
    Case(
        "weights that are empty, noise or truncated",
        not_tensors,
        "is damaged, or contains more than tensors; save `model.state_dict()`",
        weights=True,
    ),
    Case(
        "weights that are not a state dict",
        not_state_dict,
        "is not a state dict; save `model.state_dict()`",
        weights=True,
    ),
    Case("weights of another network", of_another_network, "does not match the backbone (…)", weights=True),
    Case(
        "weights that are NaN",
        not_finite,
        "does not match the backbone (features.3.squeeze.bias contains NaN or infinity)",
        weights=True,
    ),
]
