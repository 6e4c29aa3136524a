"""How many more stages run because dvc.yaml lists folders of code instead of each imported file.

    python benchmarks/stage_runs.py [--every-commit] [--seconds filter=4 …] [--move COMMIT] [REVISION]

Seconds. Replays the commits up to REVISION (HEAD) that change src/ or stages/: those of the first-parent history, or
every one that is not a merge. A stage depends on its script and

- per file: on each file that the script imports, directly or not, and on the templates that these files open;
- by folder: on all files of the packages that those files are in.

As in DVC, a stage runs if the path or the content of a dependency changes. A stage that runs only because an earlier
one's output changed is not counted, nor is a commit without a parent.

Today's packages come from one commit, `--move`. Before it, a module belongs to the package that it moved to, as git
detects renames. The imports are those of each commit. The move also split modules, so some stages depended on what is
now a package that they do not import; so a second table applies the imports after the move to the commits before it.

The seconds of a stage are those of a default run that computes everything, so they overstate what the extra runs cost.
Cache keys come from the same imports: a run that per-file dependencies would skip finds the inspections, embeddings and
fine-tuned networks of the previous one. `--seconds` sets others.
"""

import argparse
import ast
import fnmatch
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SECONDS = {
    "download": 4.0,
    "filter": 20.0,
    "split": 2.0,
    "featurize": 100.0,
    "check_labels": 4.0,
    "train": 10.0,
    "export": 8.0,
    "evaluate": 10.0,
    "tta_evaluate": 30.0,
    "report": 6.0,
}
MOVE = "HEAD^{/^Packages follow the stages:}"
# Low enough to find modules of a few lines, and those that the move also split.
SIMILARITY = "10%"

Files = dict[str, str]  # path → blob


class Source(NamedTuple):
    """What a Python file names: modules in import statements, and any text in its strings."""

    modules: frozenset[str]
    strings: frozenset[str]


class Runs(NamedTuple):
    """How often a stage runs."""

    per_file: int
    by_folder: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", nargs="?", default="HEAD", metavar="REVISION", help="where the history ends")
    parser.add_argument("--every-commit", action="store_true", help="also those of merged branches, without the merges")
    parser.add_argument("--move", default=MOVE, metavar="COMMIT", help="the commit that made today's packages")
    parser.add_argument("--seconds", nargs="+", default=[], type=duration, metavar="STAGE=SECONDS")
    arguments = parser.parse_args()
    seconds = SECONDS | dict(arguments.seconds)
    changes = history(arguments.revision, every_commit=arguments.every_commit)
    replay = Replay(changes, git("rev-parse", "--verify", arguments.move).strip())
    print(f"{len(changes)} commits; in no package of today: {', '.join(replay.deleted()) or 'no file'}")
    for title, after_move in (("imports of each commit", False), ("imports after the move", True)):
        print_table(title, {stage: replay.runs(stage, after_move=after_move) for stage in SECONDS}, seconds)


def duration(text: str) -> tuple[str, float]:
    stage, _, seconds = text.partition("=")
    if stage not in SECONDS:
        raise argparse.ArgumentTypeError(f"{stage!r} is not one of {', '.join(SECONDS)}")
    return stage, float(seconds)


def print_table(title: str, runs: dict[str, Runs], seconds: dict[str, float]) -> None:
    print(f"\n| {title} | seconds | runs per file | runs by folder | extra |\n| --- | ---: | ---: | ---: | ---: |")
    for stage, (per_file, by_folder) in runs.items():
        print(f"| {stage} | {seconds[stage]:g} | {per_file} | {by_folder} | {extra(per_file, by_folder)} |")
    columns = list(zip(*runs.values(), strict=True))
    counts = [sum(column) for column in columns]
    spent = [sum(seconds[stage] * count for stage, count in zip(runs, column, strict=True)) for column in columns]
    print(f"| all, runs | | {counts[0]} | {counts[1]} | {extra(*counts)} |")
    print(f"| all, seconds | | {spent[0]:,.0f} | {spent[1]:,.0f} | {extra(*spent)} |")


def extra(per_file: float, by_folder: float) -> str:
    return f"{100 * (by_folder / per_file - 1):.1f} %" if per_file else ""


class Replay:
    """The stages' dependencies at every commit.

    Args:
        changes: pairs of a commit's parent and the commit.
        move: the commit that made today's packages.
    """

    def __init__(self, changes: list[tuple[str, str]], move: str):
        self._changes = changes
        self._move = move
        self._before_move = set(git("rev-list", f"{move}^@").split())
        self._files = {sha: files_of(sha) for sha in {move, *(sha for change in changes for sha in change)}}
        self._sources = sources(self._files.values())
        self._moved = renames(move)

    def deleted(self) -> list[str]:
        """The files that are not there after the move, under any name."""
        old = self._before_move & self._files.keys()
        return sorted({path for sha in old for path in self._files[sha] if not self._after_move(path)})

    def runs(self, stage: str, *, after_move: bool) -> Runs:
        """How often a stage runs; with `after_move` as if its imports had always been those after the move."""
        imports = imported(stage, self._files[self._move], self._sources) if after_move else None
        found = {sha: self._dependencies(stage, sha, imports) for sha in self._files}
        per_file, by_folder = (
            sum(found[before][kind] != found[after][kind] for before, after in self._changes) for kind in (0, 1)
        )
        return Runs(per_file, by_folder)

    def _dependencies(self, stage: str, sha: str, after_move: frozenset[str] | None) -> tuple[Files, Files]:
        """The files that a stage depends on per file, and those by folder."""
        files, old = self._files[sha], sha in self._before_move
        place = {path: self._after_move(path) if old else path for path in files}
        needed = imported(stage, files, self._sources)
        if old and needed and after_move:
            needed = frozenset(path for path in files if place[path] in after_move)
        # Each module of a package imports its __init__.py, which may have had other modules around it before the move.
        modules = [path for path in needed if not path.endswith("/__init__.py")]
        packages = {package(place[path]) for path in modules} - {None}
        inside = needed | {path for path in files if package(place[path]) in packages}
        return {path: files[path] for path in needed}, {path: files[path] for path in inside}

    def _after_move(self, path: str) -> str | None:
        return self._moved.get(path, path if path in self._files[self._move] else None)


def package(path: str | None) -> str | None:
    """The folder of src/boatyard that a file is in; None for a stage's script, and for a module of no package."""
    parts = path.split("/") if path else []
    return parts[2] if parts[:2] == ["src", "boatyard"] and len(parts) > 3 else None


def imported(stage: str, files: Files, sources: dict[str, Source]) -> frozenset[str]:
    """The stage's script, the files of boatyard that it imports, and the templates that these open.

    Imports inside functions count, those under TYPE_CHECKING do not. Empty if there is no such script.
    """
    script = f"stages/{stage}.py"
    waiting = [script] if script in files else []
    found = set(waiting)
    while waiting:
        for module in sources[files[waiting.pop()]].modules:
            new = {path for path in module_files(module, files) if path in files} - found
            found |= new
            waiting += new
    named = {(package(path), text) for path in found for text in sources[files[path]].strings}
    return frozenset(found | {path for path in files if not path.endswith(".py") and named & template_names(path)})


def module_files(module: str, files: Files) -> Iterator[str]:
    """The files that may define a module of boatyard, for `<package>.*` any of its modules, and its packages."""
    parts = module.split(".")
    if parts[0] == "boatyard":
        path = f"src/{'/'.join(parts)}.py"
        yield from fnmatch.filter(files, path) if parts[-1] == "*" else [path]
        yield from (f"src/{'/'.join(parts[:depth])}/__init__.py" for depth in range(1, len(parts) + 1))


def template_names(path: str) -> set[tuple[str | None, str]]:
    """What a file of the same package says to open a template: its name, or its folder's."""
    return {(package(path), text) for text in path.split("/")[-2:]} if package(path) else set()


def parse(code: bytes) -> Source:
    tree = RunCode().visit(ast.parse(code))
    modules, strings = set[str](), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are not followed"
            modules |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "import_module":
            # import_module(f"boatyard.sources.{name}") may import any module of the package.
            modules |= {f"{part.value}*" for name in node.args for part in getattr(name, "values", ())[:1]}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            strings.add(node.value)
    return Source(frozenset(modules), frozenset(strings))


class RunCode(ast.NodeTransformer):
    """Leaves out what only a type checker reads."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def history(revision: str, *, every_commit: bool) -> list[tuple[str, str]]:
    """The commits that change src/ or stages/, each after its parent."""
    walk = "--no-merges" if every_commit else "--first-parent"
    lines = git("log", walk, "--format=%H %P", revision, "--", "src", "stages").splitlines()
    found = [line.split() for line in lines]
    return [(parents[0], sha) for sha, *parents in found if parents]


def files_of(sha: str) -> Files:
    """All files of src/ and stages/ in a commit."""
    entries = git("ls-tree", "-r", "-z", sha, "src", "stages").rstrip("\0").split("\0")
    return {path: head.split()[2] for head, path in (entry.split("\t") for entry in entries if entry)}


def renames(sha: str) -> dict[str, str]:
    """The old → new paths that git detects in a commit."""
    options = ("-r", "-z", "-l0", f"--find-renames={SIMILARITY}", "--diff-filter=R", "--name-status", "--no-commit-id")
    words = iter(git("diff-tree", *options, sha, "--", "src", "stages").rstrip("\0").split("\0"))
    return {old: new for _, old, new in zip(words, words, words, strict=True)}


def sources(trees: Iterable[Files]) -> dict[str, Source]:
    """Every Python file of the trees, parsed, by its blob."""
    blobs = sorted({blob for files in trees for path, blob in files.items() if path.endswith(".py")})
    lines = "".join(f"{blob}\n" for blob in blobs).encode()
    output = subprocess.run(["git", "cat-file", "--batch"], cwd=ROOT, input=lines, stdout=subprocess.PIPE, check=True)
    found, start = {}, 0
    for blob in blobs:
        code = output.stdout.index(b"\n", start) + 1
        end = code + int(output.stdout[start:code].split()[2])
        found[blob] = parse(output.stdout[code:end])
        start = end + 1
    return found


def git(*command: str) -> str:
    """What git prints. If it fails, it has said why, and its exit status becomes ours."""
    done = subprocess.run(["git", *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


if __name__ == "__main__":
    main()
