"""Stages whose work several processes share write what one process writes."""

import shutil

import pytest
from clone import Clone

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
def test_the_same_bytes(clone: Clone, starter: str) -> None:
    command, environment = STARTED_BY[starter]
    for stage, outputs in SHARED.items():
        expected = {name: (clone.folder / name).read_bytes() for name in outputs}
        for name in outputs:
            (clone.folder / name).unlink()
        shutil.rmtree(clone.folder / ".work/features")

        said = clone.run(*command, f"stages/{stage}.py", **environment).stdout

        assert {name: (clone.folder / name).read_bytes() for name in outputs} == expected
        assert len(list((clone.folder / ".work/features").glob("*/keys*.txt"))) == 2
        assert said.count("\n") <= 2  # one of them speaks
