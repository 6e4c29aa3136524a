"""What a stage script reads, derived from its source: nothing is imported or run."""

import ast
from pathlib import Path


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
