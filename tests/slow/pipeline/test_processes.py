"""Stages that several processes share write the same bytes as one process."""

import shutil
import socket

import pytest
from clone import Clone
from safetensors.torch import load_file, save_file

from boatyard.core import paths, tables
from boatyard.features.store import RECORD
from boatyard.models import model_header

SHARED = {
    "featurize": ["data/features/plain.npy", "data/features/views.npy", "data/features/photos.csv"],
    "evaluate": ["metrics/evaluate.json", "plots/predictions.csv", "plots/per_class.csv", "plots/reliability.csv"],
    "tta_evaluate": ["metrics/tta_evaluate.json", "plots/tta_predictions.csv", "plots/tta_per_class.csv"],
}
STARTED_BY = {
    "the stage itself": (["python"], {"BOATYARD_PROCESSES": "2"}),
    "torchrun": (["python", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"], {}),
}


@pytest.mark.parametrize("starter", STARTED_BY)
def test_several_processes_write_the_same_bytes_as_one(clone: Clone, starter: str) -> None:
    command, environment = STARTED_BY[starter]
    for stage, outputs in SHARED.items():
        expected = {name: (clone.folder / name).read_bytes() for name in outputs}
        for name in outputs:
            (clone.folder / name).unlink()
        shutil.rmtree(clone.folder / ".work/features")

        output = clone.run(*command, f"stages/{stage}.py", **environment).stdout

        assert {name: (clone.folder / name).read_bytes() for name in outputs} == expected
        assert len(list((clone.folder / ".work/features").glob("*/index*.bin"))) == 2
        assert output.count("\n") <= 2  # only one of them prints


def test_a_damaged_backbone_is_a_one_line_error_in_all_processes(clone: Clone) -> None:
    """The first process builds it alone, before the others wait for it."""
    path = clone.folder / paths.MODEL
    whole, state = path.read_bytes(), load_file(path) | load_file(clone.folder / paths.MODEL_BACKBONE)
    name = next(name for name in state if name.startswith("embedder.") and state[name].is_floating_point())
    state[name][0] = float("nan")
    save_file(state, path, metadata=model_header.encode(model_header.read(path)))
    shutil.rmtree(clone.folder / ".work/features")
    try:
        done = clone.run("python", "stages/evaluate.py", fails=True, BOATYARD_PROCESSES="2")
    finally:
        path.write_bytes(whole)
    assert done.returncode == 2
    assert (
        f"error: {paths.MODEL} does not contain the network that its header describes ({name} contains NaN"
        in done.stderr
    )
    assert "Traceback" not in done.stderr


def test_shared_fine_tuning_stores_its_embeddings_for_the_next_stage(clone: Clone) -> None:
    stores = clone.folder / ".work/features"
    validation = [row for row in tables.read_csv(clone.folder / "data/splits.csv") if row["split"] == "validation"]
    clone.set_param("finetune.epochs", 1)
    losses = []
    for command, environment in STARTED_BY.values():
        before = set(stores.iterdir())

        clone.run(*command, "stages/train.py", **environment)

        history = tables.read_csv(clone.folder / "plots/history.csv")
        assert history[-1]["phase"] == "finetune"
        losses.append([float(row["validation_loss"]) for row in history])
        (tuned,) = set(stores.iterdir()) - before
        parts = [index.stat().st_size // RECORD for index in tuned.glob("index*.bin")]
        assert len(parts) == 2
        assert sum(parts) == len(validation)
        shutil.rmtree(tuned)
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_processes_with_different_settings_are_refused(clone: Clone) -> None:
    parts = [
        f"BOATYARD_PRECISION={precision} BOATYARD_ENGINE=torch RANK={rank} LOCAL_RANK={rank} python stages/featurize.py"
        for rank, precision in enumerate(("fp32", "bf16"))
    ]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meeting = f"TORCHELASTIC_RUN_ID=x WORLD_SIZE=2 LOCAL_WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT={port}"
    shutil.rmtree(clone.folder / ".work/features")

    done = clone.run("sh", "-c", f"export {meeting}; {parts[0]} & {parts[1]}", fails=True)

    assert "the processes that share the work would compute different embeddings" in done.stderr
    assert "Traceback" not in done.stderr
