"""A model goes through a DVC remote to a second clone and to another project.

Here the remote is a folder; under `make test-remotes` it is a real SSH, WebDAV or S3 server.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from clone import Clone, Repro
from remote_kinds import KINDS, PAGE
from ruamel.yaml import YAML
from sharing import MODEL, ONNX, Shared, share
from small_run import STAGES

from boatyard import Classifier


@pytest.fixture(
    scope="module",
    params=[pytest.param(kind, marks=() if kind == "folder" else pytest.mark.remotes) for kind in KINDS],
)
def shared(
    request: pytest.FixtureRequest, own_photos: Clone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shared]:
    folder = tmp_path_factory.mktemp(request.param)
    with KINDS[request.param](folder) as remote:
        yield share(own_photos.copy(folder / "publisher"), remote, folder)


def test_a_second_clone_pulls_the_model_alone_then_everything_and_runs_nothing(shared: Shared, tmp_path: Path) -> None:
    clone = shared.clone(tmp_path)
    _, pull = PAGE.commands("Take the model alone")

    shared.run(clone, [pull])

    assert_same_model(clone.folder / "models", shared, [MODEL])
    clone.dvc("pull", "models/model.onnx", "models/model.onnx_data")
    assert_same_model(clone.folder / "models", shared)
    assert not (clone.folder / "data/raw").exists()

    repro = Repro(shared.run(clone, PAGE.commands("Take everything")))

    assert repro.ran == repro.restored == set()
    assert clone.changed_stages() == set()
    assert clone.git("status", "--porcelain") == ""
    assert clone.repro().unchanged >= set(STAGES)


def assert_same_model(folder: Path, shared: Shared, models: Sequence[str] = (MODEL, ONNX)) -> None:
    """Each model of the folder gives the publisher's result; a model whose part is not its own would not load."""
    photo = next(path for path in (shared.publisher.folder / "data/raw").rglob("*") if path.is_file())
    for model in models:
        expected = Classifier.load(shared.publisher.folder / model)(photo).log_probabilities
        assert np.array_equal(Classifier.load(folder / Path(model).name)(photo).log_probabilities, expected)


def test_another_project_gets_and_imports_a_version_of_the_model(shared: Shared, tmp_path: Path) -> None:
    project = shared.someone(tmp_path)
    project.git("init", "--quiet", "--initial-branch", "main")
    project.dvc("init", "--quiet")
    get, import_it, commit, update = PAGE.commands("Use the model in another project")
    imported = project.folder / "imported"

    if shared.remote.log_in():
        refused = project.run("dvc", "get", str(shared.hub), MODEL, fails=True, AWS_EC2_METADATA_DISABLED="true")
        assert shared.remote.heading != "WebDAV" or "No storage files available" in refused.stderr
    shared.remote.log_in_everywhere(project)
    shared.run(project, [get])
    assert_same_model(project.folder / "classifier", shared)

    shared.run(project, [import_it, commit])
    assert imported_from(project) == {"url": str(shared.hub), "rev": "v1.0", "rev_lock": commit_of(shared, "v1.0")}
    shutil.rmtree(imported)
    shutil.rmtree(project.folder / ".dvc/cache")
    project.dvc("pull")
    assert_same_model(imported, shared)

    shared.publisher.git("commit", "--quiet", "--allow-empty", "--message", "Later")
    shared.publisher.git("tag", "v1.1")
    shared.publisher.git("push", "--quiet", "origin", "v1.1")
    shared.run(project, [update])
    assert imported_from(project)["rev_lock"] == commit_of(shared, "v1.1") != commit_of(shared, "v1.0")

    project.dvc("remote", "add", "--default", "own", str(tmp_path / "own"))
    project.dvc("push")
    assert not [path for path in (tmp_path / "own").rglob("*") if path.is_file()]


def commit_of(shared: Shared, tag: str) -> str:
    return shared.publisher.git("rev-parse", tag).strip()


def imported_from(project: Clone) -> dict[str, str]:
    yaml = YAML(typ="safe", pure=True).load(project.folder / "imported.dvc")
    return yaml["deps"][0]["repo"]


def test_the_registered_model_works_in_an_empty_folder_and_becomes_one_file(shared: Shared, tmp_path: Path) -> None:
    *register, get = PAGE.commands("The model registry")
    shared.run(shared.publisher, register)
    someone = shared.someone(tmp_path)
    shared.remote.log_in_everywhere(someone)

    shared.run(someone, [get])
    assert_same_model(someone.folder / "models", shared)
    assert (someone.folder / "models/MODEL_CARD.md").is_file()

    shared.run(someone, PAGE.commands("One file to pass on"))
    photo = next(path for path in (shared.publisher.folder / "data/raw").rglob("*") if path.is_file())
    single = shutil.move(someone.folder / "classifier.onnx", tmp_path / "alone.onnx")
    expected = Classifier.load(shared.publisher.folder / ONNX)(photo).log_probabilities
    assert np.array_equal(Classifier.load(single)(photo).log_probabilities, expected)


def test_git_has_the_address_but_no_secret(shared: Shared) -> None:
    history = shared.publisher.git("log", "--patch", "--all")

    assert "['remote \"boatyard\"']" in history
    for secret in shared.remote.secrets:
        assert secret in (shared.publisher.folder / ".dvc/config.local").read_text(encoding="utf-8")
        assert secret not in history


@pytest.mark.parametrize("service", ["Google Cloud Storage", "Azure"])
def test_dvc_knows_the_settings_for_a_service_that_was_not_tried(service: str, tmp_path: Path) -> None:
    clone = Clone(tmp_path, tmp_path)
    clone.git("init", "--quiet")
    clone.dvc("init", "--quiet")

    for command in PAGE.commands(service):
        clone.run("sh", "-ec", command)

    assert "not tried here" in PAGE.section(service).lower()
    clone.run("dvc", "remote", "modify", "boatyard", "an_option_that_does_not_exist", "1", fails=True)


def test_every_section_with_commands_is_executed_by_a_test() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parents[2].rglob("*.py"))

    assert [heading for heading in PAGE.headings() if PAGE.commands(heading) and f'"{heading}"' not in sources] == []
