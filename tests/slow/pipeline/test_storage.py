"""While the backbone is frozen, a changed head does not store or push the backbone again."""

from pathlib import Path

import pytest
from clone import Clone

PARTS = ("models/backbone.safetensors", "models/model.onnx_data")
MODELS = ("models/model.safetensors", "models/model.onnx")


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(("key", "value"), [("model.head.dropout", 0.1), ("model.head.hidden", 32)])
def test_a_changed_head_stores_and_pushes_only_itself(clone: Clone, tmp_path: Path, key: str, value: float) -> None:
    stores = [clone.folder / ".dvc/cache", tmp_path / "remote"]
    clone.dvc("remote", "add", "--force", "--default", "folder", str(stores[1]))
    clone.dvc("push")
    before = {name: (clone.folder / name).read_bytes() for name in (*PARTS, *MODELS)}
    sizes = [size_of(store) for store in stores]
    clone.set_param(key, value)

    repro = clone.repro()
    clone.dvc("push")

    assert repro.ran == {"train", "export", "evaluate", "tta_evaluate", "report"}
    assert all((clone.folder / name).read_bytes() == before[name] for name in PARTS)
    assert all((clone.folder / name).read_bytes() != before[name] for name in MODELS)
    rewritten = sum((clone.folder / name).stat().st_size for name in (*MODELS, "models/MODEL_CARD.md"))
    rewritten += size_of(clone.folder / "report") + size_of(clone.folder / "plots/figures")
    backbone = sum(map(len, (before[name] for name in PARTS)))
    for store, size in zip(stores, sizes, strict=True):
        # Some kilobytes are DVC's own: the list of the figures, the records of the run-cache.
        assert 0 < size_of(store) - size < rewritten + 50_000 < backbone / 3
