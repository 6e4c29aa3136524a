"""The engines agree, the result of a view depends only on the view, and damaged graphs are not used."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import drawn_photos
import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from boatyard.core.errors import UserError
from boatyard.core.machine import Machine
from boatyard.features import inference
from boatyard.images.decoding import open_photo
from boatyard.images.views import PLAIN, PhotoViews, Preprocessing, Recipe, plain_view, plain_views
from boatyard.models import backbones
from boatyard.models.backbones import Backbone
from boatyard.models.engines import registry
from boatyard.models.engines.base import Engine
from boatyard.models.engines.torch_engine import TorchEngine, channels_last
from boatyard.models.frozen_backbone import FrozenBackbone, fingerprint
from boatyard.models.network import Embedder, Network, arrays, embedder, head, head_weights
from boatyard.params.schema import Augment

Views = NDArray[np.uint8]

# Relative to the largest value; on x86 the difference is 2e-6 for each of the three below.
TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def noise(count: int, size: int) -> Views:
    return np.random.default_rng(count).integers(0, 256, (count, 3, size, size), dtype=np.uint8)


AUGMENT = Augment(
    scale=[0.3, 1.0],
    aspect=[0.7, 1.4],
    rotation=20,
    horizontal_flip=True,
    vertical_flip=True,
    brightness=0.2,
    contrast=0.2,
    saturation=0.2,
    hue=0.1,
)


def small_network(seed: int = 0, size: int = 12) -> Network:
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 6)]
    backbone = Backbone(
        "small", nn.Sequential(*layers), 6, Preprocessing(size, 1.0, "bilinear", (0.5,) * 3, (0.25,) * 3)
    )
    backbone.network.eval()
    return Network(embedder(backbone, backbone.preprocessing), head(6, 4, 0.4, 3)).eval()


def onnx_engine(network: Network, machine: Machine, graphs: Path, size: int = 12) -> Engine:
    backbone = FrozenBackbone.of(network.embedder)
    return registry.for_views(backbone, head_weights(network.head), [3, size, size], machine, graphs)


@pytest.mark.parametrize(
    ("name", "weights"),
    [("efficientnet_lite0", "default"), ("resnet18", "none"), ("timm/vit_tiny_patch16_224", "none")],
)
def test_onnx_runtime_and_torch_agree(name: str, weights: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = backbones.create(name, weights)
    network = embedder(backbone, backbone.preprocessing)
    views = noise(2, 224)
    with torch.inference_mode():
        expected = network(torch.from_numpy(views)).numpy()
    assert np.ptp(expected) > 0.1
    for kind in ("onnx", "torch"):
        backbone = FrozenBackbone.of(network)
        output = registry.for_views(backbone, None, [3, 224, 224], Machine(engine=kind), tmp_path)(views)
        assert output.dtype == np.float32
        assert np.abs(output - expected).max() < TOLERANCE * np.abs(expected).max()


def test_a_views_result_is_its_own_under_onnx_runtime(tmp_path: Path) -> None:
    views = noise(24, 12)
    network = small_network()
    alone = onnx_engine(network, Machine(), tmp_path)
    assert (alone.batch, alone.calls) == (1, 1)
    expected = np.concatenate([alone(view[None]) for view in views])
    assert np.array_equal(alone(views), expected)
    assert np.array_equal(alone(views[::-1]), expected[::-1])
    for workers in (1, 2, 5):
        engine = onnx_engine(network, Machine(workers=workers), tmp_path)
        assert engine.calls == workers
        outputs = list(inference.run(engine, range(8), lambda i: list(views[3 * i : 3 * i + 3]), workers))
        assert np.array_equal(np.concatenate(outputs), expected)


@pytest.mark.parametrize("size", [4, 16])
def test_a_views_result_is_its_own_under_torch(size: int) -> None:
    views = noise(24, 12)
    assert TorchEngine(small_network(), "cpu").batch == 1
    run = TorchEngine(small_network(), "cpu", batch=size)  # as on CUDA, where it is larger
    expected = run(views)
    assert expected.shape == (24, 3)
    for count in (1, size - 1, size, size + 1):
        assert np.array_equal(run(views[:count]), expected[:count])
        assert np.array_equal(run(views[::-1][:count]), expected[::-1][:count])
    for workers in (1, 3):
        outputs = list(inference.run(run, range(12), lambda i: list(views[2 * i : 2 * i + 2]), workers))
        assert np.array_equal(np.concatenate(outputs), expected)


def test_torch_gets_batches_of_one_size() -> None:
    class Counting(nn.Module):
        sizes: list[int] = []  # noqa: RUF012

        def forward(self, views: Tensor) -> Tensor:
            self.sizes.append(len(views))
            return views.flatten(1).float().sum(1, keepdim=True)

    run = TorchEngine(Counting(), "cpu", batch=4)
    views = noise(10, 2)
    assert run(views).tolist() == [[float(view.sum())] for view in views]
    assert Counting.sizes == [4, 4, 4]


def test_channels_last_leaves_weights_of_five_dimensions_alone() -> None:
    """Module.to refuses them, and timm/lambda_resnet26t has some."""
    network = nn.ModuleList([nn.Conv2d(3, 8, 3), nn.Conv3d(2, 4, 3), nn.Linear(2, 3)])
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert channels_last(network)[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("waiting", [2**28, 1])
def test_torch_draws_what_pillow_draws(waiting: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU, as it does on a GPU: photos of any size, with any number of views, filled into batches."""
    monkeypatch.setattr(inference, "_MAX_UNDRAWN", waiting)
    recipe = Recipe(Preprocessing(12, 0.875, "bicubic", (0.5,) * 3, (0.25,) * 3), AUGMENT, seed=0)
    sides = np.random.default_rng(0).integers(8, 60, (9, 2))
    photos = [Image.fromarray(noise(1, 60)[0].transpose(1, 2, 0)[:height, :width]) for height, width in sides]
    shots = [recipe.plan(photo, str(at), [PLAIN, 0, 1, 2][: at % 5]) for at, photo in enumerate(photos)]
    inputs = [[], *shots, [], shots[3].views()]  # among them a photo without views, and views that are drawn already

    def outputs(draws: bool, workers: int) -> list[NDArray[np.float32]]:
        run = TorchEngine(small_network(), "cpu", batch=8, draws=draws)
        run.queued = int(draws)  # as on CUDA
        return list(inference.run(run, inputs, lambda one: one, workers))

    expected = outputs(draws=False, workers=1)
    assert [len(rows) for rows in expected] == [0, 0, 1, 2, 3, 4, 0, 1, 2, 3, 0, 3]
    for workers in (1, 3):
        for found, wanted in zip(outputs(draws=True, workers=workers), expected, strict=True):
            assert np.array_equal(found, wanted)


def test_views_are_drawn_on_the_device_if_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PhotoViews, "views", lambda _: pytest.fail("drawn by Pillow"))
    preprocessing = Preprocessing(12, 1.0, "bilinear", (0.5,) * 3, (0.25,) * 3)
    shot = plain_views(Image.new("RGB", (20, 30)), preprocessing)
    run = TorchEngine(small_network(), "cpu", draws=True)
    (found,) = inference.run(run, [shot], lambda one: one, 1)
    assert np.array_equal(found, run(np.zeros((1, 3, 12, 12), np.uint8)))


# The relative change of a feature vector by bf16: at most these for half of the photos, and for any. On x86, for the
# photos below, it is 0.08 and 0.17; the vectors of two photos differ by about 0.84.
BF16_MEDIAN, BF16_MOST = 0.1, 0.25


def test_bf16_agrees_with_fp32_within_a_tolerance(tmp_path: Path) -> None:
    drawn_photos.draw(tmp_path, per_class=8)
    paths = [tmp_path / drawn_photos.name_of(label, number) for label in drawn_photos.CLASSES for number in range(4)]
    backbone = backbones.create("efficientnet_lite0", "default")
    network = embedder(backbone, backbone.preprocessing)
    views = np.stack([plain_view(open_photo(path), backbone.preprocessing) for path in paths])
    exact, rough = (TorchEngine(network, "cpu", precision, batch=4)(views) for precision in ("fp32", "bf16"))
    assert rough.dtype == np.float32
    changed = np.linalg.norm(rough - exact, axis=1) / np.linalg.norm(exact, axis=1)
    assert changed.min() > 0.01  # it was bf16
    assert np.median(changed) < BF16_MEDIAN
    assert changed.max() < BF16_MOST


def test_a_head_computes_in_fp32_whatever_the_backbone_does() -> None:
    network, views = small_network(), noise(5, 12)
    whole = TorchEngine(network, "cpu", "bf16", batch=4)(views)
    rows = TorchEngine(network.embedder, "cpu", "bf16", batch=4)(views)
    assert np.array_equal(TorchEngine(network.head, "cpu", "bf16", batch=4)(rows), whole)
    with torch.inference_mode():
        assert np.abs(network.head(torch.from_numpy(rows)).numpy() - whole).max() < 1e-6


def test_values_too_large_for_fp16_are_an_error() -> None:
    class Large(nn.Module):
        def forward(self, views: Tensor) -> Tensor:
            return torch.full((len(views), 2), 1e5).half()

    with pytest.raises(UserError, match="too large for fp16: set BOATYARD_PRECISION to fp32 or bf16"):
        TorchEngine(Large(), "cpu", "fp16")(noise(1, 2))


def exports(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows with every export."""
    done: list[int] = []
    export: Callable[..., object] = torch.onnx.export

    def counted(*args: object, **settings: object) -> object:
        done.append(1)
        return export(*args, **settings)

    monkeypatch.setattr(torch.onnx, "export", counted)
    return done


def test_a_graph_is_exported_once_for_each_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = exports(monkeypatch)
    graphs, views = tmp_path / "graphs", noise(2, 12)

    def run(network: Network, size: int = 12) -> NDArray[np.float32]:
        return onnx_engine(network, Machine(), graphs, size)(noise(2, size))

    first = run(small_network())
    assert np.array_equal(run(small_network()), first)
    assert (len(done), len(list(graphs.iterdir()))) == (1, 1)

    # A head's graph is not exported by torch: only another backbone is.
    for weight, count in [("head.classes.bias", 1), ("embedder.backbone.0.bias", 2)]:
        changed = small_network()
        with torch.no_grad():
            changed.get_parameter(weight)[0] += 1
        with torch.inference_mode():
            expected = changed(torch.from_numpy(views)).numpy()
        assert np.abs(run(changed) - expected).max() < 1e-5
        assert np.abs(run(changed) - first).max() > 1e-3
        assert (len(done), len(list(graphs.iterdir()))) == (count, count)

    run(small_network(size=16), 16)
    assert (len(done), len(list(graphs.iterdir()))) == (3, 3)


def test_a_damaged_graph_is_exported_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views = noise(2, 12)
    expected = onnx_engine(small_network(), Machine(), tmp_path)(views)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    # One bit of a weight, which leaves the file valid.
    place = whole.index(small_network().get_parameter("embedder.backbone.5.weight").detach().numpy().tobytes())
    flipped = bytearray(whole)
    flipped[place + 3] ^= 0x40
    onnx.checker.check_model(onnx.load_from_string(bytes(flipped)))
    for damaged in (b"", whole[: len(whole) // 2], bytes(flipped)):
        path.write_bytes(damaged)
        done = exports(monkeypatch)
        assert np.array_equal(onnx_engine(small_network(), Machine(), tmp_path)(views), expected)
        assert len(done) == 1
        assert list(tmp_path.iterdir()) == [path]


def test_different_networks_have_different_fingerprints() -> None:
    weights = arrays(small_network().embedder)
    preprocessing = Preprocessing(12, 1.0, "bilinear", (0.5,) * 3, (0.25,) * 3)
    first = fingerprint("small", preprocessing, 6, weights.items())
    assert first == FrozenBackbone.of(small_network().embedder).fingerprint
    # The order of the tensors does not matter, nor what part of the photo a view shows.
    assert first == fingerprint("small", replace(preprocessing, size=16, crop=0.5), 6, reversed(list(weights.items())))

    changed = arrays(small_network().embedder)
    changed["backbone.1.running_var"] = changed["backbone.1.running_var"] + np.float32([0, 0, 0, 1e-6, 0, 0, 0, 0])
    swapped = weights | {"backbone.1.bias": weights["backbone.1.weight"]}
    reshaped = weights | {"backbone.5.bias": weights["backbone.5.bias"].reshape(2, 3)}
    others = {
        FrozenBackbone.of(small_network(seed=1).embedder).fingerprint,
        fingerprint("larger", preprocessing, 6, weights.items()),
        fingerprint("small", replace(preprocessing, mean=(0.5, 0.5, 0.501)), 6, weights.items()),
        fingerprint("small", replace(preprocessing, std=(0.25, 0.25, 0.251)), 6, weights.items()),
        fingerprint("small", preprocessing, 5, weights.items()),
        fingerprint("small", preprocessing, 6, changed.items()),
        fingerprint("small", preprocessing, 6, swapped.items()),
        fingerprint("small", preprocessing, 6, reshaped.items()),
        fingerprint("small", preprocessing, 6, list(weights.items())[1:]),
    }
    assert len(others | {first}) == 10


def test_a_network_over_two_gigabytes_is_too_large_for_onnx(tmp_path: Path) -> None:
    with torch.device("meta"):
        layer = nn.Linear(2**15, 2**14 + 2**10)
    preprocessing = Preprocessing(12, 1.0, "bilinear", (0.5,) * 3, (0.25,) * 3)
    large = Embedder(Backbone("large", layer, layer.out_features, preprocessing), preprocessing)
    with pytest.raises(UserError, match="over 2 GB, too much for ONNX: set BOATYARD_ENGINE=torch"):
        registry.for_views(FrozenBackbone("large", large.width, lambda: large), None, [3, 12, 12], Machine(), tmp_path)
