"""`boatyard backbones`, from the command line on."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from torchvision import models

from boatyard import cli
from boatyard.models import backbone_list, backbones


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        cli.main(["backbones", *arguments])
    assert not end.value.code
    return capsys.readouterr().out


def test_the_list_has_all_that_torchvision_has_and_lite(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(run(capsys, "--format", "json"))
    assert {row["name"] for row in rows} == {*models.list_models(module=models), *backbones._LITE}
    assert all(0.5 < row["top1"] < 1 and row["pixels"] >= 224 and row["parameters"] > 10**6 for row in rows)
    assert [row["top1"] for row in rows] == sorted((row["top1"] for row in rows), reverse=True)


def test_the_figures_are_those_of_the_network_with_its_classifier() -> None:
    (vgg,), (lite,) = backbone_list.find("vgg16"), backbone_list.find("efficientnet_lite1")
    assert (vgg.pixels, vgg.parameters, vgg.top1) == (224, 138_357_544, 0.71592)
    network = timm.create_model("tf_efficientnet_lite1")
    assert lite == backbone_list.Choice(
        "efficientnet_lite1", 240, sum(each.numel() for each in network.parameters()), 0.767, "installed"
    )


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_fits_the_terminal(capsys: pytest.CaptureFixture[str], columns: int) -> None:
    lines = run(capsys, "*").splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[0].split() == ["backbone", "pixels", "parameters", "top-1", "weights"]
    (resnet,) = (line.split() for line in lines if line.startswith("resnet50 "))
    assert resnet[1:4] == ["224", "25,557,032", "0.809"]


def test_rows_can_be_sorted_and_written_as_csv(capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "resnet[15]*", "--format", "csv", "--sort", "parameters")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["name"] for row in rows] == ["resnet18", "resnet50", "resnet101", "resnet152"]
    assert rows[0]["parameters"] == "11689512"


def test_weights_in_the_cache_of_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert [choice.weights for choice in backbone_list.find("resnet18")] == ["download"]
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/resnet18-f37072fd.pth").touch()
    assert [choice.weights for choice in backbone_list.find("resnet18")] == ["cached"]


def test_timm_by_a_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Hugging Face's cache has a folder per repository, with a file for the newest commit and its files."""
    monkeypatch.setattr(backbone_list, "try_to_load_from_cache", lambda repo, file: cached.get((repo, file)))
    cached = {("timm/resnet18.a1_in1k", "model.safetensors"): "path"}
    lines = run(capsys, "timm/resnet18", "--sort", "name").splitlines()
    assert lines[1].split() == ["timm/resnet18.a1_in1k", "224", "11,689,512", "cached"]
    assert {line.split()[-1] for line in lines[2 : lines.index("")]} == {"download"}
    assert "timm does not say" in lines[-2]
    assert max(map(len, lines)) <= 80


def test_timm_without_a_tag_and_with_one() -> None:
    names = [choice.name for choice in backbone_list.find("timm/resnet18")]
    assert {"timm/resnet18.a1_in1k", "timm/resnet18.tv_in1k"} < set(names)
    assert [choice.name for choice in backbone_list.find("timm/resnet18.tv_in1k")] == ["timm/resnet18.tv_in1k"]


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("resnt50", "no backbone has the name 'resnt50'; did you mean resnet50 or "),
        ("timm/resnt18", "no backbone has the name 'timm/resnt18'; did you mean timm/resnet"),
        ("??", "no backbone has the name '??'; * stands for any text, as in '*resnet*'"),
    ],
)
def test_no_such_backbone(capsys: pytest.CaptureFixture[str], pattern: str, problem: str) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["backbones", pattern])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {problem}")


def test_the_command_line_starts_without_torch() -> None:
    code = "import sys\nfrom boatyard import cli\ntry: cli.main(['backbones', '--help'])\nexcept SystemExit: pass\n"
    code += "print({'torch', 'timm', 'torchvision'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
