"""docs/sharing.md on outputs that are not pushed or go to another remote, and on results that are not committed."""

import hashlib
from pathlib import Path

import pytest
from clone import Clone, Repro
from remote_kinds import PAGE, Remote, folder
from sharing import MODEL, share
from small_run import STAGES, Run

PUSH_FALSE = ", push: false"


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    with folder(tmp_path / "nas") as remote:
        return remote


def keep_photos(clone: Clone, line: str = PUSH_FALSE) -> None:
    """Add the page's extra line, or `line`, to data/raw in dvc.yaml."""
    (with_line,) = PAGE.blocks("yaml", "Data that must not leave")
    path = clone.folder / "dvc.yaml"
    text = path.read_text(encoding="utf-8")
    without = with_line.replace(PUSH_FALSE, "")
    assert text.count(without) == 1
    path.write_text(text.replace(without, with_line.replace(PUSH_FALSE, line)), encoding="utf-8")


def photos_in(clone: Clone, place: Path) -> int:
    """The number of the clone's photos in a remote, by MD5."""
    photos = [path for path in (clone.folder / "data/raw").rglob("*") if path.is_file()]
    sums = {hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() for path in photos}
    return len(sums & {path.parent.name + path.name for path in place.rglob("*")})


def test_photos_of_an_open_source_are_fetched_from_there_again(run: Run, remote: Remote, tmp_path: Path) -> None:
    publisher = run.clone.copy(tmp_path / "publisher")
    keep_photos(publisher)
    assert publisher.changed_stages() == set()
    publisher.commit("Photos stay")
    shared = share(publisher, remote, tmp_path)
    assert photos_in(publisher, tmp_path / "nas") == 0

    # data/incoming is in git here and so stands for a source that everyone can reach.
    clone = shared.clone(tmp_path / "someone")
    without_photos = clone.repro("--pull", "--allow-missing")
    assert without_photos.ran == without_photos.restored == set()
    assert not (clone.folder / "data/raw").exists()
    assert clone.repro("--pull").ran == {"download"}
    assert clone.changed_stages() == set()
    assert clone.git("status", "--porcelain") == ""


def test_own_photos_are_not_pushed_and_everything_else_can_be_pulled(
    own_photos: Clone, remote: Remote, tmp_path: Path
) -> None:
    publisher = own_photos.copy(tmp_path / "publisher")
    keep_photos(publisher)
    for path in (publisher.folder / "data/incoming").glob("*.dvc"):
        path.write_text(path.read_text() + "  push: false\n")
    assert publisher.repro().ran == {"download"}
    publisher.commit("Photos stay")
    shared = share(publisher, remote, tmp_path)
    assert photos_in(publisher, tmp_path / "nas") == 0

    clone = shared.clone(tmp_path / "someone")
    clone.dvc("pull", MODEL, "report/index.html")
    pulled = clone.run("dvc", "pull", fails=True)
    assert "Checkout failed for following targets:" in pulled.stderr
    assert "data/raw" in pulled.stderr
    assert (clone.folder / MODEL).read_bytes() == (publisher.folder / MODEL).read_bytes()
    clone.run("dvc", "repro", "--pull", "--allow-missing", fails=True)


def test_photos_go_to_a_separate_remote(run: Run, remote: Remote, tmp_path: Path) -> None:
    publisher, vault = run.clone.copy(tmp_path / "publisher"), tmp_path / "vault"
    keep_photos(publisher, line=", remote: vault")
    (add_vault,) = PAGE.commands("Data that must not leave")
    publisher.run("sh", "-ec", add_vault.replace("/srv/vault", str(vault)))
    publisher.commit("Photos go to the vault")
    shared = share(publisher, remote, tmp_path)
    assert photos_in(publisher, tmp_path / "nas") == 0
    assert photos_in(publisher, vault) > 70

    assert Repro(shared.clone(tmp_path / "insider").dvc("repro", "--pull")).ran == set()

    vault.rename(tmp_path / "out of reach")
    outsider = shared.clone(tmp_path / "outsider")
    assert "data/raw" in outsider.run("dvc", "pull", fails=True).stderr
    assert (outsider.folder / MODEL).exists()


def test_an_experiment_is_shared_with_its_outputs(run: Run, remote: Remote, tmp_path: Path) -> None:
    shared = share(run.clone.copy(tmp_path / "publisher"), remote, tmp_path)
    run_it, push, pull, apply, _ = PAGE.commands("Results that are in no commit")
    before = (shared.publisher.folder / MODEL).read_bytes()

    shared.run(shared.publisher, [run_it, push])
    clone = shared.clone(tmp_path / "someone")
    shared.run(clone, [pull, apply])

    model = (clone.folder / MODEL).read_bytes()
    assert model == (shared.publisher.folder / MODEL).read_bytes() != before
    assert clone.params()["train"]["lr"] == 0.0003
    assert clone.repro("--pull").ran == set()


def test_a_shared_cache_restores_runs_but_a_pushed_run_cache_does_not(run: Run, remote: Remote, tmp_path: Path) -> None:
    publisher = run.clone.copy(tmp_path / "publisher")
    shared = share(publisher, remote, tmp_path)
    publisher.dvc("push", "--run-cache")
    *_, cache_dir = PAGE.commands("Results that are in no commit")

    neighbour = shared.clone(tmp_path / "neighbour")
    neighbour.run("sh", "-ec", cache_dir.replace("/srv/dvc-cache", str(publisher.folder / ".dvc/cache")))
    (neighbour.folder / "dvc.lock").unlink()
    assert neighbour.repro().restored == set(STAGES)
    assert neighbour.git("status", "--porcelain") == ""

    far = shared.clone(tmp_path / "far")
    far.dvc("pull", "--run-cache")
    (far.folder / "dvc.lock").unlink()
    assert far.repro("filter").ran == {"download", "filter"}
