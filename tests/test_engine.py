"""The two engines agree, a view's result depends on the view alone, and damaged graphs are not taken."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from boatyard.data.views import Preprocessing
from boatyard.errors import UserError
from boatyard.model import backbones, engine, inference
from boatyard.model.backbones import Backbone
from boatyard.model.graph import fingerprint
from boatyard.model.network import Classifier, embedder, head
from boatyard.model.torch_engine import TorchEngine

Views = NDArray[np.uint8]

# Of the largest value; seen on x86: 2e-6 for each of the three below.
TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def noise(count: int, size: int) -> Views:
    return np.random.default_rng(count).integers(0, 256, (count, 3, size, size), dtype=np.uint8)


def small_network(seed: int = 0, size: int = 12) -> nn.Module:
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 6)]
    backbone = Backbone(nn.Sequential(*layers), 6, Preprocessing(size, 1.0, "bilinear", (0.5,) * 3, (0.25,) * 3))
    backbone.network.eval()
    return Classifier(embedder(backbone, backbone.preprocessing), head(6, 4, 0.4, 3)).eval()


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
        output = engine.create(network, [3, 224, 224], kind, "cpu", 1, tmp_path)(views)
        assert output.dtype == np.float32
        assert np.abs(output - expected).max() < TOLERANCE * np.abs(expected).max()


def test_a_views_result_is_its_own_under_onnx_runtime(tmp_path: Path) -> None:
    views = noise(24, 12)
    network = small_network()
    alone = engine.create(network, [3, 12, 12], "onnx", "cpu", 1, tmp_path)
    assert (alone.batch, alone.calls) == (1, 1)
    expected = np.concatenate([alone(view[None]) for view in views])
    assert np.array_equal(alone(views), expected)
    assert np.array_equal(alone(views[::-1]), expected[::-1])
    for workers in (1, 2, 5):
        run = engine.create(network, [3, 12, 12], "onnx", "cpu", workers, tmp_path)
        assert run.calls == workers
        outputs = list(inference.run(run, range(8), lambda i: list(views[3 * i : 3 * i + 3]), workers))
        assert np.array_equal(np.concatenate(outputs), expected)


@pytest.mark.parametrize("size", [4, 16])
def test_a_views_result_is_its_own_under_torch(size: int) -> None:
    views = noise(24, 12)
    run = TorchEngine(small_network(), "cpu")
    assert (run.batch, run.calls) == (1, 1)
    run.batch = size  # as on CUDA, where it is larger
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

    run = TorchEngine(Counting(), "cpu")
    run.batch = 4
    views = noise(10, 2)
    assert run(views).tolist() == [[float(view.sum())] for view in views]
    assert Counting.sizes == [4, 4, 4]


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

    def run(network: nn.Module, size: int = 12) -> NDArray[np.float32]:
        return engine.create(network, [3, size, size], "onnx", "cpu", 1, graphs)(noise(2, size))

    first = run(small_network())
    assert np.array_equal(run(small_network()), first)
    assert (len(done), len(list(graphs.iterdir()))) == (1, 1)

    # A head's graph is written by hand: only another backbone is exported.
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
    expected = engine.create(small_network(), [3, 12, 12], "onnx", "cpu", 1, tmp_path)(views)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    # One bit of a weight, which any reader of the format takes.
    place = whole.index(small_network().get_parameter("embedder.backbone.5.weight").detach().numpy().tobytes())
    flipped = bytearray(whole)
    flipped[place + 3] ^= 0x40
    onnx.checker.check_model(onnx.load_from_string(bytes(flipped)))
    for damaged in (b"", whole[: len(whole) // 2], bytes(flipped)):
        path.write_bytes(damaged)
        done = exports(monkeypatch)
        assert np.array_equal(engine.create(small_network(), [3, 12, 12], "onnx", "cpu", 1, tmp_path)(views), expected)
        assert len(done) == 1
        assert list(tmp_path.iterdir()) == [path]


def test_fingerprint_tells_networks_apart() -> None:
    seen = {fingerprint(small_network())}
    assert seen == {fingerprint(small_network())}
    others = [small_network(seed=1), small_network(), small_network(), small_network(), small_network()]
    with torch.no_grad():
        others[1].get_buffer("embedder.backbone.1.running_var")[3] += 1e-6
        others[2].get_buffer("embedder.mean")[0] += 1e-3
    backbone = others[3].get_submodule("embedder.backbone")
    backbone.register_module("2", nn.Hardswish())
    backbone = others[4].get_submodule("embedder.backbone")
    backbone.register_module("1", nn.BatchNorm2d(8, eps=1e-3))
    assert len(seen | {fingerprint(other) for other in others}) == 6


def test_a_network_over_two_gigabytes_is_refused_by_onnx(tmp_path: Path) -> None:
    with torch.device("meta"):
        large = nn.Linear(2**15, 2**14 + 2**10)
    with pytest.raises(UserError, match="over 2 GB, too much for ONNX: set BOATYARD_ENGINE=torch"):
        engine.create(large, [3, 12, 12], "onnx", "cpu", 1, tmp_path)
