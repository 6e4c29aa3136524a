"""`boatyard summary`: the layers of a model file as a table."""

from pathlib import Path

import pytest

from boatyard import cli, params
from boatyard.core import paths
from boatyard.models import model_file
from boatyard.models.network import parameter_count


def summary(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(["summary", *arguments])
    return int(end.value.code or 0)


@pytest.fixture
def tuned(model_repository: Path) -> Path:
    """A model of which, its header says, the last block of the backbone was fine-tuned."""
    network, header = model_file.load(paths.MODEL)
    preset = params.read(Path(__file__).parents[2] / "presets/solar_cells.yaml")
    header.params["finetune"] = {**preset.finetune.model_dump(), "epochs": 3, "blocks": 1}
    path = model_repository / "tuned.safetensors"
    model_file.save(path, network, header)
    return path


@pytest.mark.parametrize("options", [[], ["--all"]])
def test_layers_with_shapes_and_totals(tuned: Path, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert summary("--model", str(tuned), *options) == 0

    head, *rows, total, backbone, note = capsys.readouterr().out.splitlines()
    assert head.split() == ["layer", "kind", "output", "parameters", "trained"]
    part, first, *_, last = rows
    assert part == "backbone"
    assert "head" in rows
    assert first.split() == ["features.0", "Conv2d", "64×31×31", "1,792", "0"]
    assert last.split() == ["log_softmax", "LogSoftmax", "3", "0", "0"]
    network, _ = model_file.load(tuned)
    parameters, trained = total.split()[1:]
    assert parameters == f"{parameter_count(network):,}"
    assert parameter_count(network.head) < int(trained.replace(",", "")) < parameter_count(network)
    assert backbone == "squeezenet1_1"
    assert note == "output shapes for one view of 64 × 64 pixels"
    assert options or all(len(line) <= 80 for line in rows)
    assert any(" Fire " in row for row in rows) is not bool(options)


def test_a_model_without_its_settings_is_one_line(model_repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert summary() == 2
    expected = "models/model.safetensors does not say whether its backbone was fine-tuned: train it again"
    assert capsys.readouterr().err == f"error: {expected}\n"
