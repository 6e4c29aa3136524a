"""What a stage script imports and reads, derived from the source: nothing is imported or run."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "boatyard"


def imported_files(script: Path, src: Path) -> set[Path]:
    """The script, and every file of the package that importing it can bring in, at the top or inside a function.

    A package's __init__.py is brought in by each of its modules, and what that imports follows.
    """
    found = {script}
    waiting = [script]
    while waiting:
        for module in _imports(waiting.pop(), src):
            for file in _files_of(module, src) - found:
                found.add(file)
                waiting.append(file)
    return found


def _imports(file: Path, src: Path) -> Iterator[str]:
    """Dotted names of the modules that a file may import. `from a import b` may mean the module a.b."""
    tree = _RunCode().visit(ast.parse(file.read_text(encoding="utf-8")))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                parts = file.relative_to(src).parts[: -node.level]
                module = ".".join([*parts, module]).rstrip(".")
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


class _RunCode(ast.NodeTransformer):
    """Leaves out what only a type checker reads."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def _files_of(module: str, src: Path) -> set[Path]:
    """The module's file and the __init__.py of the packages around it; empty for a name that is no module of ours."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return set()
    files = {src.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)}
    files.add(src.joinpath(*parts).with_suffix(".py"))
    return {file for file in files if file.is_file()}


def opened_files(modules: set[Path], src: Path) -> set[Path]:
    """Files of the package that are no Python and that `modules` name, or whose folder they name, in a string."""
    strings = {
        node.value
        for module in modules
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {
        file
        for file in (src / PACKAGE).rglob("*")
        if file.is_file() and file.suffix not in (".py", ".pyc") and strings & {file.name, file.parent.name}
    }


def path_constants(script: Path) -> set[str]:
    """The names X of `paths.X` in a script."""
    return {
        node.attr
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "paths"
    }


def params_read(script: Path) -> set[str]:
    """The dotted keys that a script reads from what `params.load` returned, or an argument that is a `Params`.

    `settings.tta.views` is the key "tta.views"; `settings.tta`, kept or passed on, is "tta"; `settings` itself, passed
    on, is "" and may mean any key.
    """
    tree = ast.parse(script.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    names = {
        target.id
        for node in nodes
        if isinstance(node, ast.Assign) and _is_load(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    names |= {
        node.arg for node in nodes if isinstance(node, ast.arg) and node.annotation and _names_params(node.annotation)
    }
    # What another attribute is read from: `settings.tta` in `settings.tta.views`.
    inner = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    keys = set()
    for node in nodes:
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in inner:
            root, chain = _chain(node)
            if _is_load(root) or (isinstance(root, ast.Name) and root.id in names):
                keys.add(".".join(chain))
    return keys


def _names_params(annotation: ast.expr) -> bool:
    return ast.unparse(annotation) in ("Params", "params.Params")


def _is_load(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "params.load"


def _chain(node: ast.expr) -> tuple[ast.expr, list[str]]:
    """`a.b.c` as the expression a and [b, c]."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return node, names
