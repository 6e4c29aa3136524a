"""Model files: reproducible bytes, loaded networks with the same outputs, and one-line errors for bad files."""

import copy
import functools
import hashlib
import json
import os
import re
import resource
import stat
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import check_told, damaged, examples
from safetensors.torch import load_file, save_file
from torch import Tensor

from boatyard.core.errors import UserError
from boatyard.models import backbones, model_file, model_header
from boatyard.models.frozen_backbone import FrozenBackbone
from boatyard.models.model_header import Header
from boatyard.models.network import Network, arrays, embedder, head

NAME = "squeezenet1_1"

MAKE = f"""
import sys
from pathlib import Path
import torch
from boatyard.models import backbones, model_file
from boatyard.models.model_header import Header
from boatyard.models.network import Network, embedder, head

torch.manual_seed(0)
backbone = backbones.create({NAME!r}, "none")
network = Network(embedder(backbone, backbone.preprocessing), head(512, 4, 0.4, 3))
header = Header(["a", "b", "c"], {NAME!r}, 4, 0.4, backbone.preprocessing, 1.6, {{"train": {{"lr": 0.1}}, "seed": 0}})
model_file.save(Path(sys.argv[1]), network, header)
"""


@functools.cache
def made() -> tuple[Network, Header]:
    torch.manual_seed(0)
    backbone = backbones.create(NAME, "none")
    network = Network(embedder(backbone, backbone.preprocessing), head(512, 4, 0.4, 3))
    header = Header(["a", "b", "c"], NAME, 4, 0.4, backbone.preprocessing, 1.6, {"train": {"lr": 0.1}, "seed": 0})
    return network, header


def saved(path: Path) -> Path:
    model_file.save(path, *made())
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_two_saves_and_two_processes_give_the_same_bytes(tmp_path: Path) -> None:
    network, header = made()
    for name in ("first", "second"):
        model_file.save(tmp_path / name, network, header)
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    subprocess.run([sys.executable, "-c", MAKE, str(tmp_path / "third")], check=True, env=environment)
    assert len({sha256(tmp_path / name) for name in ("first", "second", "third")}) == 1


def test_saving_over_a_file_and_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "models" / "model.safetensors"
    saved(path)
    before = sha256(path)
    saved(path)
    assert sha256(path) == before
    assert [entry.name for entry in path.parent.iterdir()] == ["model.safetensors"]
    (tmp_path / "other").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_a_loaded_network_gives_the_same_output_and_is_frozen(tmp_path: Path) -> None:
    network, header = made()
    network.eval()
    model_file.save(tmp_path / "model", network, header)
    # The state of the random generator does not matter.
    torch.manual_seed(99)
    loaded, read = model_file.load(tmp_path / "model")
    assert read == header
    views = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    with torch.inference_mode():
        # `network` was made at temperature 1, so only the division of the logits by 1.6 differs.
        logits = network.head[:-2](network.embedder(views))
        assert torch.equal(loaded(views), torch.log_softmax(logits / torch.tensor(1.6), 1))
        assert not torch.allclose(loaded(views), network(views), atol=0.01)
    assert not any(module.training for module in loaded.modules())
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.parametrize("hidden", [4, 0])
def test_read_returns_what_was_saved(hidden: int, tmp_path: Path) -> None:
    network, header = made()
    network, header = Network(network.embedder, head(512, hidden, 0.4, 3)), replace(header, hidden=hidden)
    model_file.save(tmp_path / "model", network, header)
    model = model_file.read(tmp_path / "model")
    assert model.header == header
    assert (model.head.width, model.head.hidden, model.head.classes) == (512, hidden, 3)
    assert model.head.temperature == header.temperature
    assert {f"head.{name}" for name in model.head.weights} == {name for name in network.state_dict() if "head" in name}
    for name, weights in model.head.weights.items():
        assert np.array_equal(weights, network.head.get_parameter(name).detach().numpy())
    assert model.backbone.width == 512
    same = FrozenBackbone.of(network.embedder), FrozenBackbone.of(model.backbone.build())
    assert {backbone.fingerprint for backbone in same} == {model.backbone.fingerprint}


def test_the_file_holds_the_weights_under_their_names(tmp_path: Path) -> None:
    state = load_file(saved(tmp_path / "model"))
    assert state["head.classes.weight"].shape == (3, 4)
    assert state["embedder.backbone.features.0.weight"].shape == (64, 3, 3, 3)
    assert len(state) == 2 * 25 + 4  # SqueezeNet's 26 convolutions without the last, two layers of the head


def rewritten(path: Path, header: Header | None = None, **changes: Tensor | None) -> Path:
    """Another file with some weights changed or taken out, or another header."""
    state = {**load_file(path), **{name: tensor for name, tensor in changes.items() if tensor is not None}}
    for name in [name for name, tensor in changes.items() if tensor is None]:
        del state[name]
    changed = path.with_name(f"changed {len(list(path.parent.iterdir()))}")
    save_file(state, changed, metadata=model_header.encode(header or model_header.read(path)))
    return changed


PART = "backbone.safetensors"


def split(path: Path) -> Path:
    """A model file whose backbone is in another file."""
    network, header = made()
    model_file.save(path, network, header, PART)
    return path


def test_both_forms_contain_the_same_model(tmp_path: Path) -> None:
    single, two = saved(tmp_path / "single"), split(tmp_path / "split")
    whole = load_file(single)
    parts = load_file(two), load_file(tmp_path / PART)
    assert {name.partition(".")[0] for name in parts[0]} == {"head"}
    assert {name.partition(".")[0] for name in parts[1]} == {"embedder"}
    assert {name: tensor.tolist() for one in parts for name, tensor in one.items()} == {
        name: tensor.tolist() for name, tensor in whole.items()
    }
    model_file.save(tmp_path / "again", *model_file.load(two))
    assert sha256(tmp_path / "again") == sha256(single)

    one, other = model_file.read(single), model_file.read(two)
    assert (one.header, one.backbone.fingerprint) == (other.header, other.backbone.fingerprint)
    for name, weights in one.head.weights.items():
        assert np.array_equal(weights, other.head.weights[name])
    built, same = arrays(one.backbone.build()), arrays(other.backbone.build())
    assert all(np.array_equal(built[name], same[name]) for name in built)


def test_while_the_backbone_is_frozen_its_file_keeps_its_bytes(tmp_path: Path) -> None:
    network, header = made()
    before = sha256(split(tmp_path / "model")), sha256(tmp_path / PART)
    assert (tmp_path / "model").stat().st_size < (tmp_path / PART).stat().st_size / 100
    for changes, hidden, classes in (
        ({"hidden": 0}, 0, 3),
        ({"hidden": 300}, 300, 3),
        ({"dropout": 0.1, "params": {"train": {"lr": 0.2}}}, 4, 3),
        ({"classes": ["a", "b"]}, 4, 2),
        ({"temperature": 2.0}, 4, 3),
    ):
        other = Network(network.embedder, head(512, hidden, 0.4, classes))
        model_file.save(tmp_path / "model", other, replace(header, **changes), PART)
        assert sha256(tmp_path / "model") != before[0]
        assert sha256(tmp_path / PART) == before[1], changes

    tuned = copy.deepcopy(network)
    with torch.no_grad():
        next(tuned.embedder.parameters())[0] += 1
    model_file.save(tmp_path / "model", tuned, header, PART)
    assert sha256(tmp_path / PART) != before[1]


def assert_refused_everywhere(path: Path, message: str) -> None:
    for read in (model_file.read, model_file.load):
        with pytest.raises(UserError, match=message) as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_a_part_that_is_missing_damaged_or_of_another_model(tmp_path: Path) -> None:
    path, part = split(tmp_path / "model"), tmp_path / PART
    content = part.read_bytes()
    assert_refused_everywhere(part, "backbone.safetensors is only the backbone of a model: name the model file instead")

    other = (
        f"^{path} needs another {part}, this one is damaged or of another model: run `dvc pull --force {path} {part}`"
    )
    for changed in (content[:-1] + bytes([content[-1] ^ 1]), content[:-1], content + b"\0", b""):
        part.write_bytes(changed)
        assert_refused_everywhere(path, other)
    part.unlink()
    assert_refused_everywhere(path, f"^{path} needs {part}, which is missing: run `dvc pull {part}`, or copy it")
    for make in (Path.mkdir, os.mkfifo, lambda place: place.symlink_to("/dev/zero")):
        make(part)
        assert_refused_everywhere(path, f"^{path} needs {part}, which is not a file: run `dvc pull {part}`")
        part.rmdir() if part.is_dir() else part.unlink()


def test_a_part_is_only_looked_for_in_the_models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = split(tmp_path / "models" / "model")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert model_file.read(path).head.classes == 3
    path.with_name(PART).rename(elsewhere / PART)
    assert_refused_everywhere(path, "which is missing")


def test_weights_that_do_not_fit_the_header(tmp_path: Path) -> None:
    path = saved(tmp_path / "model")
    header = model_header.read(path)
    wrong = {
        r"size mismatch for embedder\.backbone\.features\.0\.bias": rewritten(
            path, **{"embedder.backbone.features.0.bias": torch.zeros(65)}
        ),
        r'Missing key\(s\) in state_dict: "embedder\.backbone\.features\.0\.bias"': rewritten(
            path, **{"embedder.backbone.features.0.bias": None}
        ),
        r'Unexpected key\(s\) in state_dict: "more"': rewritten(path, more=torch.zeros(1)),
    }
    for reason, changed in wrong.items():
        assert_refused(changed, f"does not contain the network that its header describes .*{reason}")
    for other in (
        replace(header, classes=["a", "b"]),
        replace(header, hidden=0),
        replace(header, hidden=5),
        replace(header, backbone="squeezenet1_0"),
    ):
        assert_refused(rewritten(path, other), "does not contain the network that its header describes")


def test_a_head_that_does_not_match_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "model")
    header = model_header.read(path)
    # One header asks for a head of 20 GB: nothing may be built.
    monkeypatch.setattr(model_file, "build", pytest.fail)
    names = [f"class {number}" for number in range(300_000)]

    def described(**changes: object) -> Path:
        return rewritten(path, replace(header, **changes))

    def with_part(name: str, tensor: Tensor | None) -> Path:
        return rewritten(path, **{f"head.{name}": tensor})

    says = "has shape {}, but the header says {}".format
    wrong = {
        f"hidden.weight {says([4, 512], [16384, 512])}": described(classes=names, hidden=16384),
        f"classes.weight {says([3, 4], [300000, 4])}": described(classes=names),
        f"classes.weight {says([3, 4], [2, 4])}": described(classes=["a", "b"]),
        f"hidden.bias {says([4], 'none')}": described(hidden=0),
        f"hidden.weight {says('none', [4, 1])}": with_part("hidden.weight", None),
        f"hidden.weight {says([], [4, 1])}": with_part("hidden.weight", torch.zeros(())),
        f"hidden.weight {says([4, 0], [4, 1])}": with_part("hidden.weight", torch.zeros(4, 0)),
        f"classes.weight {says([3, 5], [3, 4])}": with_part("classes.weight", torch.zeros(3, 5)),
        f"classes.bias {says([4], [3])}": with_part("classes.bias", torch.zeros(4)),
        f"third.bias {says([3], 'none')}": with_part("third.bias", torch.zeros(3)),
        "classes.bias is F64, but must be F32": with_part("classes.bias", torch.zeros(3).double()),
        "classes.bias is BF16, but must be F32": with_part("classes.bias", torch.zeros(3).bfloat16()),
        "hidden.bias is F8_E4M3, but must be F32": with_part("hidden.bias", torch.zeros(4).to(torch.float8_e4m3fn)),
    }
    for reason, changed in wrong.items():
        assert_refused(changed, rf"network that its header describes \(head\.{re.escape(reason)}\): train it again")


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_not_finite(value: float, tmp_path: Path) -> None:
    path = saved(tmp_path / "model")
    weight = load_file(path)["embedder.backbone.features.0.weight"]
    weight[5, 1] = value
    changed = rewritten(path, **{"embedder.backbone.features.0.weight": weight})
    assert_refused(
        changed, r"describes \(embedder\.backbone\.features\.0\.weight contains NaN or infinity\): train it again"
    )


def assert_refused(path: Path, message: str) -> None:
    """By `load`, with that message, and by `read` or when its backbone is built."""
    with pytest.raises(UserError, match=message) as caught:
        model_file.load(path)
    with pytest.raises(UserError) as without_torch:
        model_file.read(path).backbone.build()
    for told in (str(caught.value), str(without_torch.value)):
        assert "\n" not in told
        assert len(told) < len(str(path)) + 500


def test_errors_found_without_building_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "model")
    monkeypatch.setattr(model_file, "build", pytest.fail)
    eighths = load_file(path)["embedder.backbone.features.0.weight"].to(torch.float8_e4m3fn)
    wrong = {
        r"\(head\.classes\.bias contains NaN or infinity\)": {"head.classes.bias": torch.tensor([0, float("inf"), 0])},
        r"\(unexpected tensor 'more\\x1b'\)": {"more\x1b": torch.zeros(3)},
        "float8": {"embedder.backbone.features.0.weight": eighths},  # a type that NumPy lacks
    }
    for reason, changes in wrong.items():
        with pytest.raises(UserError, match=reason) as caught:
            model_file.read(rewritten(path, **changes))
        assert "\n" not in str(caught.value)


def test_a_head_of_another_width_changes_the_fingerprint(tmp_path: Path) -> None:
    """Otherwise the cached graph and embeddings would be used, and the network never built and refused."""
    path = saved(tmp_path / "model")
    narrow = rewritten(path, **{"head.hidden.weight": torch.zeros(4, 256)})
    model = model_file.read(narrow)
    assert model.backbone.width == 256
    assert model.backbone.fingerprint != model_file.read(path).backbone.fingerprint
    assert_refused(narrow, r"size mismatch for head\.hidden\.weight")


def test_headers_of_networks_that_cannot_be_built(tmp_path: Path) -> None:
    path = saved(tmp_path / "model")
    header = model_header.read(path)
    assert_refused(rewritten(path, replace(header, backbone="resnet9000")), "no classification model 'resnet9000'")
    assert_refused(rewritten(path, replace(header, backbone="timm/hf-hub:a/b")), "timm has no 'hf-hub:a/b'")
    tiny = replace(header.preprocessing, size=5)
    assert_refused(rewritten(path, replace(header, preprocessing=tiny)), "does not take views of 5 pixels")
    assert_refused(
        rewritten(path, replace(header, backbone="vit_b_32", preprocessing=tiny)),
        "does not contain the network that its header describes .Input shape indivisible by patch size",
    )


def test_a_file_cut_short(tmp_path: Path) -> None:
    path = saved(tmp_path / "model")
    whole = path.read_bytes()
    for length in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert_refused(path, "is not a safetensors file")


def test_a_file_of_another_tool(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "model", metadata={"format": "pt"})
    assert_refused(tmp_path / "model", "has no Boatyard metadata")


def test_a_full_disk_leaves_the_last_model_alone(tmp_path: Path) -> None:
    path = saved(tmp_path / "model")
    before = sha256(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(UserError, match="model can't be written") as caught:
            saved(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert (sha256(path), [entry.name for entry in tmp_path.iterdir()]) == (before, ["model"])


def test_params_keep_their_types(tmp_path: Path) -> None:
    network, header = made()
    params = {"seed": 2**62, "lr": 1e-3, "flag": True, "none": None, "names": ["ä", "b"], "range": [0.8, 1.0]}
    model_file.save(tmp_path / "model", network, replace(header, params=params))
    assert json.dumps(model_header.read(tmp_path / "model").params, sort_keys=True) == json.dumps(
        params, sort_keys=True
    )


@functools.cache
def small_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return saved(Path(folder, "model")).read_bytes()


@examples(15)
@given(st.data())
def test_whatever_the_bytes_a_network_is_loaded_or_refused_in_one_line(tmp_path: Path, data: st.DataObject) -> None:
    content = small_file()
    end = 8 + int.from_bytes(content[:8], "little")
    path = tmp_path / "model"
    path.write_bytes(data.draw(damaged([content[:end]])) + content[end:])  # the weights are most of the file
    try:
        network, header = model_file.load(path)
    except UserError as error:
        check_told(error)
    else:
        assert network.head.classes.out_features == len(header.classes)
    try:
        model = model_file.read(path)
    except UserError as error:
        check_told(error)
    else:
        assert model.head.classes == len(model.header.classes)
