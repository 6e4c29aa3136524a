"""Both sides of a comparison, read from real git repositories, and the messages where one can't be."""

import os
import subprocess
from pathlib import Path

import pytest

from boatyard.compare import revision
from boatyard.core.errors import UserError

FILE = Path("metrics/evaluate.json")


@pytest.fixture(autouse=True)
def _plain_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository's folder to work in, and none of the settings of the person who runs the tests."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Tester")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "tester@example.org")
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def commit(content: str, folder: Path = Path()) -> str:
    """Write and commit the two files that matter here."""
    (folder / FILE).parent.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_bytes(content.encode())
    (folder / "params.yaml").write_text("seed: 0\n", encoding="utf-8")
    git("add", ".")
    git("commit", "--quiet", "--allow-empty", "--message", content[:10])
    return git("rev-parse", "HEAD")


def start(branch: str = "main") -> str:
    git("init", "--quiet", "--initial-branch", branch)
    return commit("first")


def read(found: revision.Commit) -> bytes:
    source = found.open(FILE)
    assert source is not None
    return source.read_bytes()


@pytest.mark.parametrize("branch", ["main", "master"])
def test_the_default_is_where_the_branch_left_the_main_one(branch: str) -> None:
    start(branch)
    left = commit("left here")
    git("checkout", "--quiet", "-b", "mine")
    commit("mine")
    git("checkout", "--quiet", branch)
    commit("theirs")
    commit("theirs again")
    git("checkout", "--quiet", "mine")

    found = revision.find(None, [FILE])

    assert (found.sha, found.label, found.ahead, read(found)) == (left, branch, 2, b"left here")
    named = revision.find(branch, [FILE])
    assert (named.label, named.ahead, read(named)) == (branch, None, b"theirs again")


def test_main_goes_before_master() -> None:
    start("main")
    git("branch", "master")
    assert revision.find(None, []).label == "main"


def test_on_the_main_branch_the_default_is_the_last_commit() -> None:
    first = start()
    found = revision.find(None, [])
    assert (found.sha, found.ahead) == (first, 0)
    assert revision.working_tree() == revision.WorkingTree("main", first, dirty=False)
    FILE.write_text("changed", encoding="utf-8")
    assert revision.working_tree().dirty


def test_a_build_servers_checkout_has_origins_branches_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = start()
    git("checkout", "--quiet", "-b", "mine")
    commit("mine")
    clone = tmp_path / "clone"
    git("clone", "--quiet", "--branch", "mine", ".", str(clone))
    monkeypatch.chdir(clone)
    git("checkout", "--quiet", "--detach")
    git("remote", "set-head", "origin", "--delete")

    found = revision.find(None, [FILE])

    assert (found.sha, found.label, read(found)) == (first, "origin/main", b"first")
    assert revision.working_tree().branch == ""


def test_a_shallow_clone_may_not_reach_the_main_branch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start()
    git("checkout", "--quiet", "-b", "mine")
    commit("mine")
    commit("mine again")
    git("checkout", "--quiet", "main")
    clone = tmp_path / "clone"
    git(
        "clone", "--quiet", "--depth", "1", "--no-single-branch", "--branch", "mine", f"file://{Path.cwd()}", str(clone)
    )
    monkeypatch.chdir(clone)
    with pytest.raises(UserError, match=r"^origin/main and the current branch have no commit in common: .*--unshallow"):
        revision.find(None, [])
    assert read(revision.find("origin/main", [FILE])) == b"first"


@pytest.mark.parametrize("name", ["HEAD~1", "v1", "v1-annotated", "mine", "{sha}", "{short}"])
def test_a_commit_by_any_name(name: str) -> None:
    sha = start()
    git("tag", "v1")
    git("tag", "--annotate", "v1-annotated", "--message", "x")
    git("branch", "mine")
    commit("second")
    found = revision.find(name.format(sha=sha, short=sha[:9]), [FILE])
    assert (found.sha, found.ahead, read(found)) == (sha, None, b"first")


def test_an_experiment_by_its_name() -> None:
    first = start()
    git("checkout", "--quiet", "--detach")
    sha = commit("experiment")
    git("update-ref", f"refs/exps/{first[:2]}/{first[2:]}/dirty-lark", sha)
    git("checkout", "--quiet", "main")
    assert read(revision.find("dirty-lark", [FILE])) == b"experiment"
    git("update-ref", f"refs/exps/{sha[:2]}/{sha[2:]}/dirty-lark", first)
    with pytest.raises(UserError, match=r"^2 experiments are called 'dirty-lark': give the hash of one"):
        revision.find("dirty-lark", [])


@pytest.mark.parametrize("name", ["no-such-branch", "HEAD~7", "--output=x", "", "HEAD:metrics", "a..b", "lark\n"])
def test_no_such_commit(name: str) -> None:
    start()
    with pytest.raises(UserError, match=r"is not a commit, branch, tag or experiment of this repository: "):
        revision.find(name, [])


def test_no_main_branch() -> None:
    start("trunk")
    with pytest.raises(UserError, match=r"^there is no main branch .*: give a commit to compare with$"):
        revision.find(None, [])
    assert revision.find("trunk", []).label == "trunk"


def test_no_commit_yet() -> None:
    git("init", "--quiet")
    Path("params.yaml").touch()
    with pytest.raises(UserError, match=r"^there is no commit to compare with yet: make one"):
        revision.working_tree()


def test_no_repository() -> None:
    for ask in (revision.working_tree, lambda: revision.find(None, [])):
        with pytest.raises(UserError, match=r"^git finds no repository here \(fatal: not a git repository.*\): run"):
            ask()


def test_no_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"^the `git` command is missing"):
        revision.working_tree()


def test_the_wrong_folder() -> None:
    start()
    os.chdir("metrics")
    with pytest.raises(UserError, match=r"^params\.yaml does not exist: run from the repository's root$"):
        revision.working_tree()


def test_the_pipeline_may_lie_in_a_folder_of_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    git("init", "--quiet", "--initial-branch", "main")
    commit("first", Path("vision/boats"))
    monkeypatch.chdir("vision/boats")
    assert read(revision.find(None, [FILE])) == b"first"


def test_files_come_as_they_were_committed() -> None:
    git("init", "--quiet", "--initial-branch", "main")
    content = 'a,b\r\n"x\ny",\x00 missing\nümlaut\n\n'
    commit(content)
    found = revision.find("HEAD", [Path("no such file"), FILE, Path("metrics"), Path("params.yaml")])
    assert read(found) == content.encode()
    assert (found.open(Path("no such file")), found.open(Path("metrics"))) == (None, None)
    source = found.open(Path("params.yaml"))
    assert source is not None
    assert source.read_bytes() == b"seed: 0\n"
    assert str(source) == f"{found.sha[:7]}:params.yaml"
