"""The two sides of a comparison: a commit, whose files git and DVC's cache hold, and the working tree.

Git is asked through its own command: it alone reads every repository that it can make (worktrees, shallow and partial
clones, any storage format), and a handful of its processes take less time than importing a library for it. What DVC
keeps is read from its cache on this machine; nothing is ever fetched from a remote.
"""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from boatyard.core import files, paths
from boatyard.core.errors import UserError

# Where the main branch may be, the first that exists; a checkout on a build server often has the remote's alone.
_MAIN = (
    "refs/heads/main",
    "refs/heads/master",
    "refs/remotes/origin/HEAD",
    "refs/remotes/origin/main",
    "refs/remotes/origin/master",
)


class Side(Protocol):
    """One side of a comparison."""

    @property
    def name(self) -> str:
        """How messages name it."""
        ...

    @property
    def mend(self) -> str:
        """What to do about a damaged file of it."""
        ...

    @property
    def make(self) -> str:
        """What to do about results that it has not."""
        ...

    @property
    def rerun(self) -> str:
        """What to do about results that do not belong to its settings, a sentence."""
        ...

    def open(self, path: Path) -> files.Source | None:
        """A file of it, named from this folder; None if it has none there."""
        ...

    def fetch(self, path: Path) -> str:
        """What would bring a file that DVC keeps."""
        ...


@dataclass(frozen=True)
class WorkingTree:
    """The files as they lie here, committed or not.

    Attributes:
        branch: its name; empty where a commit is checked out that is no branch.
        head: the commit that is checked out.
        dirty: whether a file that git follows differs from it.
    """

    branch: str
    head: str
    dirty: bool
    name: str = "the working tree"
    mend: str = files.REGENERATE
    make: str = "run `dvc repro` to make it"
    rerun: str = "Run `dvc repro` before you trust this."

    def open(self, path: Path) -> Path | None:
        return path if path.is_file() else None

    def fetch(self, path: Path) -> str:
        return f"`dvc pull {path.as_posix()}` fetches it, if it was pushed"


@dataclass(frozen=True)
class Blob:
    """A file of a commit, or of DVC's cache."""

    name: str
    content: bytes = field(repr=False)

    def read_bytes(self) -> bytes:
        return self.content

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Commit:
    """A commit and those of its files that a comparison reads.

    Attributes:
        sha: its full hash.
        label: as it was asked for, or the main branch's name.
        ahead: how many commits the main branch has since the branch here left it with this one; None for a commit that
            was named.
        contents: what git holds at the paths that were asked for.
    """

    sha: str
    label: str
    ahead: int | None
    contents: Mapping[Path, bytes] = field(repr=False)
    mend: str = "compare with another commit"
    make: str = "the pipeline had not run by then, so compare with a later commit"
    rerun: str = "It was committed without a `dvc repro`."

    @property
    def name(self) -> str:
        return self.sha[:7]

    def open(self, path: Path) -> Blob | None:
        content = self.contents.get(path)
        return None if content is None else Blob(f"{self.name}:{path.as_posix()}", content)

    def fetch(self, path: Path) -> str:
        return f"`dvc fetch --all-commits {path.as_posix()}` fetches it, if it was pushed"


def find(revision: str | None, wanted: Sequence[Path]) -> Commit:
    """The commit to compare with.

    Args:
        revision: a commit, branch, tag or DVC experiment, taken as it is. None: where the branch here left the main
            one, so that what others did on the main branch since is not taken for a change of this branch.
        wanted: the files to read of it, relative to this folder.

    Raises:
        UserError: git or its repository is missing, or there is no such commit.
    """
    _check_repository()
    ahead: int | None
    sha, label, ahead = _where_it_left_main() if revision is None else (_resolve(revision), revision, None)
    return Commit(sha, label, ahead, _contents(sha, wanted))


def working_tree() -> WorkingTree:
    """The files here, and the commit that they stem from.

    Raises:
        UserError: git or its repository is missing, or it has no commit yet, or this is not the pipeline's folder.
    """
    _check_repository()
    if not paths.PARAMS.is_file():
        raise UserError(f"{paths.PARAMS} is not here: run from the repository's root")
    head = _ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if head is None:
        raise UserError("there is no commit here yet to compare with: commit first, as in `git commit`")
    branch = _ask("symbolic-ref", "--quiet", "--short", "HEAD") or ""
    return WorkingTree(branch, head, bool(_ask("status", "--porcelain", "--untracked-files=no")))


@dataclass(frozen=True)
class Cached:
    """What DVC's cache here says of a file: its content, if it holds it, and whether there is a remote to ask."""

    content: bytes | None
    has_remote: bool


def cached(md5: str) -> Cached:
    """Look a file up in DVC's cache on this machine.

    Raises:
        UserError: DVC's settings can't be read.
    """
    # It takes longest of all to import, and is needed only where the photos differ.
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(".") as repo:
            path = Path(repo.cache.local.oid_to_path(md5))
            has_remote = bool(repo.config.get("remote"))
    except DvcException as error:
        raise UserError(f"DVC can't be opened here ({error}): mend .dvc/config") from None
    return Cached(path.read_bytes() if path.is_file() else None, has_remote)


def _check_repository() -> None:
    done = _run("rev-parse", "--is-inside-work-tree")
    if done.returncode != 0 or done.stdout.strip() != b"true":
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no working tree"]
        raise UserError(f"git finds no repository here ({said[0]}): run it in a clone of the repository")


def _resolve(revision: str) -> str:
    # A leading dash would be an option.
    sha = None if revision.startswith("-") else _ask("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if sha is not None:
        return sha
    listed = (_ask("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps") or "").splitlines()
    named = [line.split(" ", 1)[0] for line in listed if line.endswith(f"/{revision}")]
    if len(named) > 1:
        raise UserError(
            f"{len(named)} experiments are called {revision!r}: name one by its hash, from `dvc exp list -A`"
        )
    if not named:
        raise UserError(
            f"there is no commit {revision!r} here: name a commit, branch, tag or experiment, "
            "or `git fetch` first if it is elsewhere"
        )
    return named[0]


def _where_it_left_main() -> tuple[str, str, int]:
    """The commit, the main branch's name, and how many commits that has since."""
    main = next((name for name in _MAIN if _ask("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")), None)
    if main is None:
        raise UserError("there is no main branch here (main, master, or origin's): name what to compare with")
    label = _ask("rev-parse", "--abbrev-ref", main) or main  # of origin/HEAD, the branch that it stands for
    sha = _ask("merge-base", main, "HEAD")
    if sha is None:
        raise UserError(
            f"{label} and the branch here have no commit in common: name what to compare with, "
            "or `git fetch --unshallow` in a shallow clone"
        )
    return sha, label, int(_ask("rev-list", "--count", f"{sha}..{main}") or 0)


def _contents(sha: str, wanted: Sequence[Path]) -> dict[Path, bytes]:
    # './' makes git start from this folder, which need not be the repository's root.
    asked = "".join(f"{sha}:./{path.as_posix()}\n" for path in wanted).encode()
    done = _run("cat-file", "--batch", given=asked)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise UserError(f"git can't read {sha[:7]} ({said}): run `git fsck`")
    contents, place = {}, 0
    for path in wanted:
        # '<hash> <kind> <size>', the content and a newline; or '<what was asked for> missing'.
        end = done.stdout.index(b"\n", place)
        header = done.stdout[place:end]
        place = end + 1
        if not header.endswith(b" missing"):
            _, kind, size = header.split()
            if kind == b"blob":
                contents[path] = done.stdout[place : place + int(size)]
            place += int(size) + 1
    return contents


def _ask(*arguments: str) -> str | None:
    """What a git command prints, or None if it fails."""
    done = _run(*arguments)
    return done.stdout.decode(errors="surrogateescape").strip("\n") if done.returncode == 0 else None


def _run(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *arguments], input=given, capture_output=True, check=False)
    except FileNotFoundError:
        raise UserError("there is no `git` command here, which reads the other commit: install it") from None
