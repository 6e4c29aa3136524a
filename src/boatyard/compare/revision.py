"""The two sides of a comparison: a commit, with files in git and DVC's cache, and the working tree.

Git is called as a command: only it reads every kind of repository (worktrees, shallow and partial clones, any storage
format), and a few of its processes take less time than importing a library for it. DVC's files are read from the cache
on this machine; nothing is ever fetched from a remote.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from boatyard.compare import code_changes, git
from boatyard.core import files, paths
from boatyard.core.errors import UserError

# Names of the main branch; the first that exists counts. A checkout on a build server often has the remote's only.
_MAIN = (
    "refs/heads/main",
    "refs/heads/master",
    "refs/remotes/origin/HEAD",
    "refs/remotes/origin/main",
    "refs/remotes/origin/master",
)


@dataclass(frozen=True)
class WorkingTree:
    """The files in this folder, committed or not.

    Attributes:
        branch: its name; empty with a detached HEAD.
        head: the commit that is checked out.
        dirty: whether a file that git tracks differs from it.
        name: in messages.
        repair, make, rerun: what to do about a damaged file, missing results, results that do not match its files.
    """

    branch: str
    head: str
    dirty: bool
    name: str = "the working tree"
    repair: str = files.REGENERATE
    make: str = "run `dvc repro` to make it"
    rerun: str = "Run `dvc repro` before you rely on this."

    def open(self, path: Path) -> Path | None:
        """A file, by its path relative to this folder; None if there is none."""
        return path if path.is_file() else None

    def changed_code(self, code: Mapping[str, str]) -> list[str]:
        """The paths of code, files and folders, that do not have the given MD5, as far as that is known."""
        return sorted(path for path, md5 in code.items() if code_changes.digest(Path(path)) != md5)

    def fetch(self, path: Path) -> str:
        """How to get a file that DVC manages."""
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
    """A commit and those of its files that a comparison reads; its interface is that of `WorkingTree`.

    Attributes:
        sha: its full hash.
        label: as it was given, or the main branch's name.
        ahead: number of commits on the main branch since the current branch left it at this one; None for a commit that
            was given.
        contents: its files at the paths to read.
    """

    sha: str
    label: str
    ahead: int | None
    contents: Mapping[Path, bytes] = field(repr=False)
    repair: str = "compare with another commit"
    make: str = "the pipeline had not run by then; compare with a later commit"
    rerun: str = "It was committed without a `dvc repro`."

    @property
    def name(self) -> str:
        return self.sha[:7]

    def open(self, path: Path) -> Blob | None:
        content = self.contents.get(path)
        return None if content is None else Blob(f"{self.name}:{path.as_posix()}", content)

    def changed_code(self, code: Mapping[str, str]) -> list[str]:
        return []  # it would take all of its files

    def fetch(self, path: Path) -> str:
        return f"`dvc fetch --all-commits {path.as_posix()}` fetches it, if it was pushed"


Side = WorkingTree | Commit


def find(revision: str | None, wanted: Sequence[Path]) -> Commit:
    """The commit to compare with.

    Args:
        revision: a commit, branch, tag or DVC experiment. None: where the current branch left the main branch, so that
            later changes on the main branch do not count as changes of this one.
        wanted: the files to read, relative to this folder.

    Raises:
        UserError: git or its repository is missing, or there is no such commit.
    """
    _check_repository()
    ahead: int | None
    sha, label, ahead = _merge_base() if revision is None else (_resolve(revision), revision, None)
    return Commit(sha, label, ahead, _contents(sha, wanted))


def working_tree() -> WorkingTree:
    """The files in this folder, and the commit that they are based on.

    Raises:
        UserError: git or its repository is missing, or it has no commit yet, or this is not the pipeline's folder.
    """
    _check_repository()
    if not paths.PARAMS.is_file():
        raise UserError(f"{paths.PARAMS} does not exist: run from the repository's root")
    head = git.ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if head is None:
        raise UserError("there is no commit to compare with yet: make one with `git commit`")
    branch = git.ask("symbolic-ref", "--quiet", "--short", "HEAD") or ""
    return WorkingTree(branch, head, bool(git.ask("status", "--porcelain", "--untracked-files=no")))


def cached(md5: str) -> tuple[bytes | None, bool]:
    """A file in DVC's cache on this machine, None if it is not there, and whether there is a remote.

    Raises:
        UserError: DVC's settings can't be read.
    """
    # Slow to import, and needed only where the photos differ.
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(".") as repo:
            path = Path(repo.cache.local.oid_to_path(md5))
            has_remote = bool(repo.config.get("remote"))
    except DvcException as error:
        raise UserError(f"DVC can't be opened here ({error}): fix .dvc/config") from None
    return path.read_bytes() if path.is_file() else None, has_remote


def _check_repository() -> None:
    done = git.run("rev-parse", "--is-inside-work-tree")
    if done.returncode != 0 or done.stdout.strip() != b"true":
        reason = done.stderr.decode(errors="replace").strip().splitlines() or ["no working tree"]
        raise UserError(f"git finds no repository here ({reason[0]}): run it in a clone of the repository")


def _resolve(revision: str) -> str:
    # A leading dash would be an option.
    sha = None if revision.startswith("-") else git.ask("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if sha is not None:
        return sha
    listed = (git.ask("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps") or "").splitlines()
    named = [line.split(" ", 1)[0] for line in listed if line.endswith(f"/{revision}")]
    if len(named) > 1:
        raise UserError(
            f"{len(named)} experiments are called {revision!r}: give the hash of one, from `dvc exp list -A`"
        )
    if not named:
        raise UserError(
            f"{revision!r} is not a commit, branch, tag or experiment of this repository: correct it, "
            "or run `git fetch` first"
        )
    return named[0]


def _merge_base() -> tuple[str, str, int]:
    """The commit, the main branch's name, and the number of commits on it since."""
    main = next((name for name in _MAIN if git.ask("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")), None)
    if main is None:
        raise UserError("there is no main branch (main, master, or origin's): give a commit to compare with")
    label = git.ask("rev-parse", "--abbrev-ref", main) or main  # of origin/HEAD, the branch it points to
    sha = git.ask("merge-base", main, "HEAD")
    if sha is None:
        raise UserError(
            f"{label} and the current branch have no commit in common: give a commit to compare with, "
            "or `git fetch --unshallow` in a shallow clone"
        )
    return sha, label, int(git.ask("rev-list", "--count", f"{sha}..{main}") or 0)


def _contents(sha: str, wanted: Sequence[Path]) -> dict[Path, bytes]:
    # './' makes git start from this folder, which need not be the repository's root.
    asked = "".join(f"{sha}:./{path.as_posix()}\n" for path in wanted).encode()
    done = git.run("cat-file", "--batch", given=asked)
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip()
        raise UserError(f"git can't read {sha[:7]} ({reason}): run `git fsck`")
    contents, offset = {}, 0
    for path in wanted:
        # '<hash> <kind> <size>', the content and a newline; or '<object> missing'.
        end = done.stdout.index(b"\n", offset)
        header = done.stdout[offset:end]
        offset = end + 1
        if not header.endswith(b" missing"):
            _, kind, size = header.split()
            if kind == b"blob":
                contents[path] = done.stdout[offset : offset + int(size)]
            offset += int(size) + 1
    return contents
