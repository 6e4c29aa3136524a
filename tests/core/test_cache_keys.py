"""Every cache key changes with the code of each module that decides what is cached under it, and with nothing else."""

import ast
import contextlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import finetuning_case
import pytest

from boatyard import params
from boatyard.core import cache_keys, import_graph
from boatyard.core.machine import Machine
from boatyard.curation import inspections
from boatyard.features.embeddings import Embeddings
from boatyard.images.views import Recipe
from boatyard.models import frozen_backbone
from boatyard.models.frozen_backbone import FrozenBackbone
from boatyard.params.schema import Head, Image, Model
from boatyard.training import classifier_training

REPOSITORY = Path(__file__).parents[2]
PREPROCESSING = finetuning_case.PREPROCESSING
CACHED = FrozenBackbone("fingerprint", 4, pytest.fail)


def embeddings(folder: Path) -> str:
    Embeddings(CACHED, Recipe(PREPROCESSING, finetuning_case.AUGMENT, 0), folder, Machine(), folder, folder)
    (store,) = folder.iterdir()
    store.rmdir()
    return store.name


def fingerprint(folder: Path) -> str:
    return frozen_backbone.fingerprint("name", PREPROCESSING, 4, [])


def backbone_record(folder: Path) -> str:
    paths: list[Path] = []

    def read(path: Path) -> frozen_backbone._Record:
        paths.append(path)
        return frozen_backbone._Record("fingerprint", 4, PREPROCESSING, {})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frozen_backbone, "_read", read)
        model = Model(backbone="resnet18", weights="default", head=Head(hidden=0, dropout=0))
        frozen_backbone.published(model, Image(size=32, crop=0.9), 0, folder, folder)
    return paths[0].name


def inspected(folder: Path) -> str:
    return inspections.cache_key()


@cache
def settings() -> params.Params:
    with contextlib.chdir(REPOSITORY):
        return params.load("train")


def finetuning_state(folder: Path) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier_training, "fingerprint", lambda *_: "fingerprint")  # tested above
        recipe, before = Recipe(PREPROCESSING, finetuning_case.AUGMENT, 0), finetuning_case.BEFORE
        return classifier_training._run_key(settings(), finetuning_case.network(), recipe, before, [], Machine())


KEYS = {
    embeddings: "boatyard.features.embeddings",
    fingerprint: "boatyard.models.network",
    backbone_record: "boatyard.models.frozen_backbone",
    inspected: "boatyard.curation.inspections",
    finetuning_state: "boatyard.training.finetuning",
}


@cache
def changed_code(module: str) -> str:
    return import_graph.code_of(f"{source(module)}\nchanged = True\n")


@cache
def changed_words(module: str) -> str:
    """With another module docstring, and one more comment."""
    docstring = ast.get_docstring(ast.parse(source(module)), clean=False)
    assert docstring
    return import_graph.code_of(f"{source(module).replace(docstring, 'Other words.', 1)}\n# A comment.\n")


def source(module: str) -> str:
    return import_graph.path_of(module).read_text(encoding="utf-8")


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.__name__)
def test_a_key_changes_with_the_code_of_its_import_closure(
    key: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, before = import_graph.code, key(tmp_path)
    closure = import_graph.closure([KEYS[key]])
    outside = "boatyard.report.page"
    assert "boatyard" in closure
    assert outside not in closure

    def with_change(module: str, changed: str) -> str:
        monkeypatch.setattr(import_graph, "code", lambda name: changed if name == module else code(name))
        return key(tmp_path)

    assert {module for module in closure if with_change(module, changed_code(module)) == before} == set()
    assert {module for module in closure if with_change(module, changed_words(module)) != before} == set()
    assert with_change(outside, changed_code(outside)) == before


def test_every_key_in_the_source_is_tested() -> None:
    """Nobody adds a cache without an entry above."""
    users = {module for module in import_graph.modules() if "cache_keys.key(" in source(module)}
    assert users == {
        "boatyard.features.embeddings",
        "boatyard.models.frozen_backbone",
        "boatyard.curation.inspections",
        "boatyard.training.classifier_training",
    }


def test_inputs_and_versions_change_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    first = cache_keys.key("a", 1, libraries=("pillow",))
    assert cache_keys.key("a", 1, libraries=("pillow",)) == first
    others = {cache_keys.key("a", 2, libraries=("pillow",)), cache_keys.key("a", 1), cache_keys.key(1, "a")}
    monkeypatch.setattr(cache_keys, "version", lambda _: "0")
    others.add(cache_keys.key("a", 1, libraries=("pillow",)))
    assert len(others | {first}) == 5
