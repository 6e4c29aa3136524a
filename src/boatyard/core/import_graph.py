"""The import graph of this package, read from its source: nothing is imported or run.

Cache keys (`cache_keys`) and the tests of dvc.yaml and of the packages' order all use this one graph.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def modules() -> list[str]:
    """Every module of the package by its dotted name, sorted."""
    return sorted(map(_name, PACKAGE.rglob("*.py")))


def path_of(module: str) -> Path:
    """The file of a module of this package.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    path = _find(module)
    if path is None:
        raise ModuleNotFoundError(module)
    return path


def imports(module: str, *, type_checking: bool = False) -> frozenset[str]:
    """The modules of this package that a module names in import statements, at the top or inside a function.

    `import_module(f"boatyard.sources.{name}")` counts as an import of every module in that folder. Imports under `if
    TYPE_CHECKING` count only if `type_checking` is set.
    """
    return imports_of(_source(module), type_checking=type_checking)


@cache
def imports_of(source: str, *, type_checking: bool = False) -> frozenset[str]:
    """`imports` of any Python source, such as a stage's script."""
    tree = ast.parse(source) if type_checking else _parse(source)
    return frozenset(name for name in _imported(tree) if _find(name))


def closure(modules: Iterable[str]) -> list[str]:
    """The modules, and all that importing and running them can bring in, the packages around each too; sorted."""
    found, waiting = set[str](), list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += imports(module)
            if "." in module:
                waiting.append(module.rpartition(".")[0])
    return sorted(found)


def code(module: str) -> str:
    """What a module does, as text: the same whatever its comments, docstrings, layout and type-only imports say."""
    return code_of(_source(module))


@cache
def code_of(source: str) -> str:
    """`code` of any Python source."""
    return ast.dump(_parse(source))


@cache
def _source(module: str) -> str:
    return path_of(module).read_text(encoding="utf-8")


@cache
def _parse(source: str) -> ast.Module:
    """The syntax tree of what runs: without docstrings and without blocks under `if TYPE_CHECKING`."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            del node.body[: ast.get_docstring(node, clean=False) is not None]
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body.clear()
    return tree


def _imported(tree: ast.Module) -> Iterator[str]:
    """What import statements name: of `from a import b` the module a.b, or a where there is no such module."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(str(module), names):
                for alias in names:
                    name = f"{module}.{alias.name}"
                    yield name if _find(name) else module
            case ast.Call(ast.Name("import_module"), [ast.JoinedStr([ast.Constant(str(prefix)), *_])]):
                folder = PACKAGE.parent.joinpath(*prefix.rstrip(".").split("."))
                yield from (_name(path) for path in folder.glob("*.py") if path.name != "__init__.py")


@cache
def _find(module: str) -> Path | None:
    if module.split(".")[0] != PACKAGE.name:
        return None
    path = PACKAGE.parent.joinpath(*module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


def _name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
