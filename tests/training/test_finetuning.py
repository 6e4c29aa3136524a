import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import drawn_photos
import pytest
import timm
import torch
from finetuning_case import AUGMENT, BEFORE, CLASSES, PREPROCESSING, SETTINGS, Blocks, fine_tune, network, rows
from small_disk import blocks, small_disk
from torch import nn
from torchvision import models

from boatyard.core import paths, splits, tables
from boatyard.core.errors import UserError
from boatyard.core.machine import Machine
from boatyard.features.embeddings import Embeddings
from boatyard.features.feature_files import Examples, Task
from boatyard.images.views import PLAIN, Recipe
from boatyard.models.concatenated import ConcatenatedBackbones
from boatyard.models.frozen_backbone import FrozenBackbone
from boatyard.training import finetuning, finetuning_state, head_training
from boatyard.training.history import Epoch


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = tmp_path_factory.mktemp("raw")
    for label in ("discs", "squares", "stripes"):
        (raw / label).mkdir()
        for number in range(10):
            drawn_photos.draw_photo(raw, label, number)
    return raw


def weights(module: torch.nn.Module) -> dict[str, list[float]]:
    return {name: tensor.flatten().tolist() for name, tensor in module.state_dict().items()}


def block_names(network: nn.Module) -> list[list[str]]:
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return [[names[id(parameter)] for parameter in block] for block in finetuning.blocks(network)]


def test_a_residual_network_has_a_stem_and_a_block_for_each_residual_unit():
    names = block_names(models.resnet18())
    assert names[0] == ["conv1.weight", "bn1.weight", "bn1.bias"]
    assert [block[0] for block in names[1:-1]] == [
        f"layer{stage}.{unit}.conv1.weight" for stage in (1, 2, 3, 4) for unit in (0, 1)
    ]
    assert names[-1] == ["fc.weight", "fc.bias"]


def test_a_vision_transformer_has_a_block_for_each_layer_and_its_token_and_positions_are_in_one():
    names = block_names(models.VisionTransformer(32, 16, num_layers=3, num_heads=2, hidden_dim=8, mlp_dim=16))
    assert names[0] == ["class_token", "conv_proj.weight", "conv_proj.bias"]
    assert [block[-1] for block in names[1:]] == [
        "encoder.layers.encoder_layer_0.mlp.3.bias",
        "encoder.layers.encoder_layer_1.mlp.3.bias",
        "encoder.ln.bias",
        "heads.head.bias",
    ]
    assert names[1][0] == "encoder.pos_embedding"


def test_timms_models_define_their_blocks():
    transformer = timm.models.VisionTransformer(32, 16, embed_dim=12, depth=3, num_heads=2, num_classes=0)
    names = block_names(transformer)
    assert names[0] == ["cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"]
    assert [block[-1] for block in names[1:]] == ["blocks.0.mlp.fc2.bias", "blocks.1.mlp.fc2.bias", "norm.bias"]
    stages = timm.models.ConvNeXt(depths=(1, 2, 1, 1), dims=(4, 8, 8, 8), num_classes=0)
    assert len(finetuning.blocks(stages)) == 1 + 5  # not one for each of its four stages


def test_in_concatenated_networks_blocks_at_the_same_distance_from_the_head_are_one():
    both = ConcatenatedBackbones([Blocks(), nn.Sequential(nn.Conv2d(3, 4, 3))], [PREPROCESSING] * 2)
    assert block_names(both) == [
        [
            "networks.0.stem.weight",
            "networks.0.stem.bias",
            "networks.0.stages.0.0.weight",
            "networks.0.stages.0.0.bias",
        ],
        ["networks.0.stages.1.0.weight", "networks.0.stages.1.0.bias", "networks.1.0.weight", "networks.1.0.bias"],
    ]


@pytest.mark.parametrize(
    ("channels", "groups", "last"), [(3, 1, False), (15, 1, False), (48, 48, False), (16, 1, True)]
)
def test_a_cpu_uses_channels_last_unless_a_strided_1_by_1_convolution_has_few_channels(
    channels: int, groups: int, last: bool
):
    for stride, expected in ((2, last), (1, True)):
        strided = nn.Conv2d(channels, 48, 1, stride, groups=groups)
        network = nn.Sequential(nn.Conv2d(3, channels, 3), strided)
        finetuning.use_channels_last(network, "cpu")
        assert network[0].weight.is_contiguous(memory_format=torch.channels_last) == expected


@pytest.mark.parametrize("channels", [1, 2, 3, 7, 8, 15, 16, 64])
def test_channels_last_changes_no_gradient_of_a_strided_1_by_1_convolution(channels: int):
    torch.manual_seed(0)
    convolution, images = nn.Conv2d(channels, 48, 1, 2), torch.rand(32, channels, 64, 64)
    exact = nn.Conv2d(channels, 48, 1, 2, dtype=torch.float64)
    exact.load_state_dict(convolution.state_dict())
    finetuning.use_channels_last(convolution, "cpu")
    convolution(images).square().sum().backward()
    exact(images.double()).square().sum().backward()
    torch.testing.assert_close(convolution.weight.grad.double(), exact.weight.grad, rtol=1e-4, atol=1e-2)


def test_fine_tuning_learns_and_leaves_batch_norm_statistics_alone(photos: Path, tmp_path: Path):
    tuned, history = fine_tune(photos, tmp_path / "state.safetensors")
    assert [epoch.epoch for epoch in history] == [10, 11, 12, 13]
    assert {epoch.phase for epoch in history} == {"finetune"}
    assert history[-1].validation_loss < 0.8 * history[0].validation_loss
    before, after = weights(network()), weights(tuned)
    assert before["embedder.backbone.stages.0.0.running_mean"] == after["embedder.backbone.stages.0.0.running_mean"]
    assert before["embedder.backbone.stages.0.0.num_batches_tracked"] == [0]
    assert after["embedder.backbone.stages.0.0.num_batches_tracked"] == [0]
    assert before["embedder.backbone.stem.weight"] != after["embedder.backbone.stem.weight"]
    assert not any(parameter.requires_grad for parameter in tuned.parameters())


def test_the_learning_rate_warms_up_and_then_follows_a_cosine(photos: Path, tmp_path: Path):
    _, history = fine_tune(photos, tmp_path / "state.safetensors")
    factors = [epoch.lr / SETTINGS.lr for epoch in history]
    assert factors == pytest.approx([0.5, 1.0, 0.75, 0.25])


def test_blocks_further_from_the_head_learn_slower_and_frozen_ones_not_at_all(photos: Path, tmp_path: Path):
    groups = finetuning._unfreeze(network(), SETTINGS)
    assert [group["lr"] for group in groups] == pytest.approx([0.03, 0.03, 0.015])
    last = SETTINGS.model_copy(update={"blocks": 1})
    tuned, _ = fine_tune(photos, tmp_path / "state.safetensors", last)
    before, after = weights(network()), weights(tuned)
    changed = sorted(name for name in before if before[name] != after[name])
    assert changed == [
        "embedder.backbone.stages.1.0.bias",
        "embedder.backbone.stages.1.0.weight",
        "head.classes.bias",
        "head.classes.weight",
    ]


@pytest.mark.parametrize("epochs", [1, *(pytest.param(epochs, marks=pytest.mark.slow) for epochs in (2, 3))])
def test_a_killed_run_continues_and_ends_in_the_same_bytes(photos: Path, tmp_path: Path, epochs: int):
    whole, history = fine_tune(photos, tmp_path / "whole.safetensors", dropout=0.3)
    fine_tune(photos, tmp_path / "cut.safetensors", stop_after=epochs, dropout=0.3)
    resumed, resumed_history = fine_tune(photos, tmp_path / "cut.safetensors", dropout=0.3)
    assert resumed_history == history
    assert weights(resumed) == weights(whole)


CONSTANT = SETTINGS.model_copy(update={"schedule": "constant", "patience": 9})


@pytest.mark.parametrize("changes", [{}, {"optimiser": "sgd"}, {"optimiser": "adam", "blocks": 1}])
def test_a_longer_run_continues_a_finished_one_and_ends_in_the_same_bytes(
    photos: Path, tmp_path: Path, changes: dict[str, Any]
):
    short = CONSTANT.model_copy(update={"epochs": 2} | changes)
    long = CONSTANT.model_copy(update=changes)
    once, history = fine_tune(photos, tmp_path / "once.safetensors", long, dropout=0.3)
    fine_tune(photos, tmp_path / "twice.safetensors", short, dropout=0.3)
    twice, twice_history = fine_tune(photos, tmp_path / "twice.safetensors", long, dropout=0.3)
    assert twice_history == history
    assert weights(twice) == weights(once)
    assert (tmp_path / "twice.safetensors").read_bytes() == (tmp_path / "once.safetensors").read_bytes()


def test_a_run_that_continues_after_its_best_epoch_still_ends_with_the_best_weights(photos: Path, tmp_path: Path):
    wild = CONSTANT.model_copy(update={"lr": 0.3, "epochs": 6, "patience": 9})
    once, history = fine_tune(photos, tmp_path / "once.safetensors", wild)
    best = min(range(6), key=lambda epoch: history[epoch].validation_loss)
    assert 0 < best < 4  # with an epoch after it before the run is cut, and one after that
    fine_tune(photos, tmp_path / "twice.safetensors", wild, stop_after=best + 2)
    assert any(name.startswith("best.") for name in finetuning_state.read(tmp_path / "twice.safetensors").tensors())
    twice, _ = fine_tune(photos, tmp_path / "twice.safetensors", wild)
    assert weights(twice) == weights(once)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("last.head.classes.bias", torch.zeros(4)),
        ("last.head.classes.bias", torch.full((3,), math.nan)),
        ("last.head.other", torch.zeros(3)),
        ("optimiser.exp_avg.head.classes.bias", torch.zeros(4)),
        ("optimiser.exp_avg.head.other", torch.zeros(3)),
        ("other.head.classes.bias", torch.zeros(3)),
    ],
)
def test_a_state_of_another_network_is_one_line(photos: Path, tmp_path: Path, name: str, tensor: torch.Tensor):
    path = tmp_path / "state.safetensors"
    fine_tune(photos, path, stop_after=1)
    state = finetuning_state.read(path)
    finetuning_state.write(path, state, {**state.tensors(), name: tensor})
    with pytest.raises(UserError, match=r"state\.safetensors is not a state of this network \(.*\): delete it$"):
        fine_tune(photos, path)


def test_a_state_has_what_was_trained_and_no_frozen_weight(photos: Path, tmp_path: Path):
    last = CONSTANT.model_copy(update={"blocks": 1, "epochs": 2})
    fine_tune(photos, tmp_path / "state.safetensors", last)
    names = set(finetuning_state.read(tmp_path / "state.safetensors").tensors())
    trained = {
        f"{part}.{kind}" for part in ("embedder.backbone.stages.1.0", "head.classes") for kind in ("weight", "bias")
    }
    buffers = {
        f"embedder.backbone.stages.0.0.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")
    }
    moments = {f"optimiser.{key}.{name}" for key in ("step", "exp_avg", "exp_avg_sq") for name in trained}
    assert names == {f"last.{name}" for name in trained | buffers} | moments


def test_the_same_run_gives_the_same_bytes(photos: Path, tmp_path: Path):
    first, history = fine_tune(photos, tmp_path / "first.safetensors", dropout=0.3)
    torch.rand(7)  # the state of the generator does not matter
    second, second_history = fine_tune(photos, tmp_path / "second.safetensors", dropout=0.3)
    assert second_history == history
    assert weights(second) == weights(first) != weights(network())


def test_the_initial_weights_are_restored_if_no_epoch_is_better(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("finetuning_case.BEFORE", Epoch(9, "head", 0.0, 0.0, 1.0, 1.0, 0.001))
    tuned, history = fine_tune(photos, tmp_path / "state.safetensors", SETTINGS.model_copy(update={"patience": 2}))
    assert len(history) == 2
    assert weights(tuned) == weights(network())


def test_a_full_disk_is_one_line_and_leaves_the_state_of_the_epoch_before(photos: Path, tmp_path: Path):
    with small_disk(tmp_path / "disk", 1) as disk:
        state = disk.folder / "state.safetensors"
        fine_tune(photos, state, stop_after=1)
        before = state.read_bytes()
        disk.leave(blocks(state) // 2)

        with pytest.raises(
            UserError, match=r"state\.safetensors can't be written \(.*No space left on device.*\): free space"
        ):
            fine_tune(photos, state)

        assert state.read_bytes() == before
        assert sorted(path.name for path in disk.folder.iterdir()) == ["ballast", "state.safetensors"]


def test_a_loss_that_is_not_finite_stops_the_run(photos: Path, tmp_path: Path):
    wild = SETTINGS.model_copy(update={"lr": 1e30, "clip": 1e30, "optimiser": "sgd"})
    with pytest.raises(UserError, match=r"not finite in epoch \d+; lower finetune.lr"):
        fine_tune(photos, tmp_path / "state.safetensors", wild)


def test_the_embeddings_of_a_tuned_backbone_give_its_validation_loss(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tuned, history = fine_tune(photos, tmp_path / "state.safetensors")
    monkeypatch.chdir(tmp_path)
    recipe = Recipe(PREPROCESSING, AUGMENT, 0)
    validation = [row for row in rows(photos) if row.split == "validation"]
    embeddings = Embeddings(
        FrozenBackbone.of(tuned.embedder), recipe, photos, Machine(), paths.FEATURE_ROWS, paths.GRAPHS
    )
    embeddings.fill([Task(row, [PLAIN]) for row in validation], "validation")
    embedded = Examples(embeddings.rows(validation, [PLAIN]), splits.labels(validation, CLASSES))
    assert embedded.features.shape == (len(validation), 1, 16)
    loss, top1 = head_training.evaluate(tuned.head, embedded)
    best = min(history, key=lambda epoch: epoch.validation_loss)
    assert (loss, top1) == pytest.approx((best.validation_loss, best.validation_top1), abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_follow_the_same_curve_as_one(photos: Path, tmp_path: Path, processes: int):
    alone, history = fine_tune(photos, tmp_path / "alone.safetensors")
    script = Path(__file__).parents[1] / "support/finetune_in_processes.py"
    command = [sys.executable, str(script), str(photos), str(tmp_path / "history.csv"), str(processes)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    together = tables.read_rows(tmp_path / "history.csv", Epoch)
    assert [epoch.epoch for epoch in together] == [epoch.epoch for epoch in history]
    for name in ("train_loss", "validation_loss", "train_top1", "validation_top1", "lr"):
        ours, theirs = ([getattr(epoch, name) for epoch in run] for run in (history, together))
        assert theirs == pytest.approx(ours, abs=2e-5), name
    state = torch.load(tmp_path / "history.weights", weights_only=True)
    for name, tensor in alone.state_dict().items():
        assert torch.allclose(state[name], tensor, atol=1e-4), name


def test_epochs_are_numbered_on_from_head_training(photos: Path, tmp_path: Path):
    _, history = fine_tune(photos, tmp_path / "state.safetensors", stop_after=1)
    assert history[0].epoch == BEFORE.epoch + 1
