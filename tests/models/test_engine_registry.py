"""The registry of engines: one entry adds an engine to the settings, the stages and `predict`."""

from pathlib import Path

import numpy as np
import pytest
import small_model
from drawn_photos import draw_photo
from numpy.typing import NDArray

from boatyard import Classifier, cli
from boatyard.core import paths
from boatyard.core.errors import UserError
from boatyard.core.machine import Machine
from boatyard.core.splits import Sample
from boatyard.features.embeddings import Embeddings
from boatyard.features.feature_files import Task
from boatyard.images.views import PLAIN
from boatyard.models import model_file
from boatyard.models.engines import registry
from boatyard.models.engines.base import Engine
from boatyard.models.engines.registry import Entry

Array = NDArray[np.float32]


class Toy(Engine):
    """Returns the same output for every input, and records the number of inputs."""

    batch, calls = 4, 1

    def __init__(self, name: str, outputs: Array, runs: list[tuple[str, int]]):
        self._name, self._outputs, self._runs = name, outputs, runs

    def __call__(self, inputs: Array) -> Array:
        self._runs.append((self._name, len(inputs)))
        return np.tile(self._outputs, (len(inputs), 1))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Registers the engine 'toy' for CPUs; what runs on it."""
    runs: list[tuple[str, int]] = []
    certain = np.log(np.array([0.125, 0.75, 0.125], np.float32))
    entry = Entry(
        lambda backbone, head, *_: (
            Toy("embeddings", np.full(backbone.width, 2, np.float32), runs)
            if head is None
            else Toy("whole", certain, runs)
        ),
        lambda *_: Toy("head", certain, runs),
        ["numpy"],
        device_kinds={"cpu"},
    )
    monkeypatch.setitem(registry.ENGINES, "toy", entry)
    return runs


def test_defaults() -> None:
    for device, engine in [("cpu", "onnx"), ("cuda", "torch"), ("cuda:1", "torch"), ("mps", "torch")]:
        assert registry.resolve(Machine(device)).engine == engine
    assert registry.resolve(Machine(engine="torch")).engine == "torch"
    assert registry.entry(Machine(engine="torch")).precision(Machine(precision="bf16")) == "bf16"
    assert registry.entry(Machine(engine="onnx")).precision(Machine(precision="bf16")) == "fp32"


@pytest.mark.parametrize("name", ["tensorrt", ""])
def test_an_unknown_engine_is_an_error(name: str) -> None:
    with pytest.raises(UserError) as caught:
        registry.resolve(Machine(engine=name))
    assert str(caught.value) == f"BOATYARD_ENGINE is {name!r}; set it to onnx or torch, or unset it"


def test_an_engine_that_does_not_run_on_the_device_is_an_error() -> None:
    with pytest.raises(UserError) as caught:
        registry.resolve(Machine("cuda:1", engine="onnx"))
    assert str(caught.value) == (
        "BOATYARD_ENGINE is onnx, which only runs on cpu, but the device is cuda:1; change either"
    )


def test_the_setting_is_checked_when_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOATYARD_DEVICE", "cpu")
    monkeypatch.setenv("BOATYARD_ENGINE", "toy")
    with pytest.raises(UserError, match=r"^BOATYARD_ENGINE is 'toy'; set it to onnx or torch,"):
        registry.read_machine()
    with pytest.raises(UserError, match=r"^BOATYARD_ENGINE is 'toy'; set it to onnx or torch,"):
        Classifier.load("nowhere.safetensors")


def test_a_registered_engine_is_a_choice_and_may_be_the_default(
    runs: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="set it to onnx or torch or toy"):
        registry.resolve(Machine(engine="tpu"))
    assert registry.resolve(Machine()).engine == "onnx"
    first = {"toy": registry.ENGINES["toy"], **registry.ENGINES}
    monkeypatch.setattr(registry, "ENGINES", first)
    assert registry.resolve(Machine()).engine == "toy"
    assert registry.resolve(Machine("cuda")).engine == "torch"


def test_a_registered_engine_runs_the_stages_and_predict(
    runs: list[tuple[str, int]],
    model_repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BOATYARD_DEVICE", "cpu")
    monkeypatch.setenv("BOATYARD_ENGINE", "toy")
    (paths.RAW / "discs").mkdir(parents=True)
    drawn = [draw_photo(paths.RAW, "discs", number) for number in range(5)]
    photos = [Sample(path.relative_to(paths.RAW).as_posix(), "discs", "test", str(path)) for path in drawn]
    model = model_file.read(paths.MODEL)

    machine = registry.read_machine()
    embeddings = Embeddings(model.backbone, model.header.recipe(), paths.RAW, machine, paths.FEATURE_ROWS, paths.GRAPHS)
    assert str(embeddings) == "toy on cpu"
    embeddings.fill([Task(photo, [PLAIN]) for photo in photos], "embedding")
    assert runs == [("embeddings", 4), ("embeddings", 1)]
    assert np.array_equal(embeddings.rows(photos, [PLAIN]), np.full((5, 1, 512), 2, np.float32))
    (log_probabilities,) = embeddings.log_probabilities(model.head, photos, [PLAIN])
    assert runs.pop() == ("head", 5)
    assert np.exp(log_probabilities[:, 0]).argmax(axis=1).tolist() == [1] * 5

    with pytest.raises(SystemExit) as end:
        cli.main(["predict", "--model", str(paths.MODEL), "--topk", "1", str(drawn[0])])
    assert end.value.code == 0
    assert capsys.readouterr().out.split() == [str(drawn[0]), small_model.CLASSES[1], "75.0", "%", "█" * 15]
    assert runs.pop() == ("whole", 1)
