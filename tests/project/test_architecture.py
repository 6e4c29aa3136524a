"""The structure that docs/architecture.md describes, held against the source."""

from pathlib import Path

from boatyard.core import import_graph
from boatyard.params.dataset import SOURCES

REPOSITORY = Path(__file__).resolve().parents[2]

# A package may import from those before it.
ORDER = [
    *("core", "params", "images", "sources", "curation", "models", "features", "evaluation"),
    *("training", "export", "report", "compare", "serving"),
]
APPLICATIONS = ("compare", "serving")
# They read the environment: the machine's settings, what torchrun sets, and (Gradio's) what must be unset or set.
READ_ENVIRONMENT = {
    *("boatyard.core.machine", "boatyard.core.distributed", "boatyard.core.stage"),
    *("boatyard.models.onnx_runtime", "boatyard.serving.app"),
}
# They name files of the repository; what they name is relative to a folder that the caller gives, or a default.
NAME_PATHS = {
    "boatyard.cli",
    "boatyard.core.stage",
    "boatyard.params.reading",
    "boatyard.params.write",
    "boatyard.report.run_files",
}


def package(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


def test_packages_are_those_of_the_order() -> None:
    assert {package(module) for module in import_graph.modules()} == {"", "cli", "__main__", *ORDER}


def test_packages_import_in_one_direction() -> None:
    for module in import_graph.modules():
        if package(module) in ORDER:
            allowed = ORDER[: ORDER.index(package(module)) + 1]
            wrong = {name for name in imports(module) if package(name) not in allowed}
            assert not wrong, f"{module} imports {', '.join(sorted(wrong))}"


def test_no_two_modules_import_each_other() -> None:
    """Nor do more of them in a circle, imports inside functions and for type checking included."""
    for module in import_graph.modules():
        seen, waiting = set[str](), list(imports(module))
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += imports(name)
        assert module not in seen, f"{module} imports itself, by way of others"


def imports(module: str) -> frozenset[str]:
    return import_graph.imports(module, type_checking=True)


def test_the_graph_sees_every_kind_of_import() -> None:
    source = """
import boatyard.core.files
from typing import TYPE_CHECKING
from boatyard.core import errors as mistakes, paths
from boatyard.core.splits import Sample
if TYPE_CHECKING:
    from boatyard.models.network import Network
else:
    from boatyard.core import locking
def work():
    from boatyard import params
    import numpy
"""
    names = {f"boatyard.{name}" for name in ("core.files", "core.errors", "core.paths", "core.splits", "params")}

    assert import_graph.imports_of(source, type_checking=True) == {
        *names,
        *("boatyard.models.network", "boatyard.core.locking"),
    }
    assert names <= import_graph.imports_of(source)
    assert "boatyard.models.network" not in import_graph.imports_of(source)


def test_the_graph_sees_modules_that_are_imported_by_name() -> None:
    any_engine = import_graph.imports_of('import_module(f"boatyard.models.engines.{name}")')
    folder = import_graph.PACKAGE / "models/engines"

    assert any_engine == {f"boatyard.models.engines.{path.stem}" for path in folder.glob("*.py")} - {
        "boatyard.models.engines.__init__"
    }
    assert import_graph.imports_of('import_module(f"json.{name}")') == frozenset()
    assert set(SOURCES.values()) <= {name.rpartition(".")[2] for name in import_graph.imports("boatyard.sources")}


def test_a_closure_has_the_packages_around_its_modules() -> None:
    closure = import_graph.closure(["boatyard.models.engines.base"])

    assert {"boatyard", "boatyard.models", "boatyard.models.engines", "boatyard.images.views"} <= set(closure)
    assert "boatyard.models.engines.torch_engine" not in closure


def test_the_library_reads_no_environment_variable() -> None:
    words = ("attr='environ'", "attr='getenv'", "name='environ'", "name='getenv'")
    found = {name for name in import_graph.modules() if any(word in import_graph.code(name) for word in words)}

    assert found == READ_ENVIRONMENT


def test_the_library_names_no_file_of_the_repository() -> None:
    found = {name for name in import_graph.modules() if "boatyard.core.paths" in imports(name)}

    assert {name for name in found - NAME_PATHS if package(name) not in APPLICATIONS} == set()


def test_a_stage_fits_one_screen_and_the_pipeline_two() -> None:
    for script in (REPOSITORY / "stages").glob("*.py"):
        assert len(script.read_text(encoding="utf-8").splitlines()) <= 60, script.name
    assert len((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8").splitlines()) <= 160
