"""docs/articles.md has a row for each cell of the articles; every command, file, setting and section in it exists."""

import re
import shlex
from pathlib import Path
from typing import Any

import pretend_run
import pytest
from pages import Page
from ruamel.yaml import YAML

import boatyard
from boatyard import cli, params
from boatyard.core import paths
from boatyard.report import figure_registry, page, pictures

ROOT = Path(__file__).parents[2]
PAGE = Page.read("docs/articles.md")
# The heading, the preset, and the cells.
ARTICLES = {
    "Boats": ("boats", [f"A{number}" for number in range(1, 16)]),
    "Ten animals": ("animals", [f"B{number}" for number in range(1, 10)]),
    "Caltech-101": ("caltech101", [f"C{number}" for number in range(1, 11)]),
}
CODE = re.findall(r"`([^`\n]+)`", PAGE.text)
COMMANDS = sorted({code for code in [*CODE, *PAGE.commands()] if code.startswith("boatyard ")})
FILES = sorted({code for code in CODE if re.match("(data|models|metrics|plots|report)/", code)})
SECTIONS = sorted(
    set(re.findall(r"\*\*([^*]+?)\*\*", "\n".join(re.findall(r"^\| [ABC]\d.*", PAGE.text, re.MULTILINE))))
)


def read_yaml(path: str) -> Any:
    return YAML(typ="safe", pure=True).load(ROOT / path)


def rows(article: str) -> list[list[str]]:
    """The cells of an article's table: number, what the article has, what there is here."""
    lines = re.findall(r"^\| [ABC]\d.*$", PAGE.section(article), re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.mark.parametrize("article", ARTICLES)
def test_each_cell_of_an_article_has_a_row(article: str):
    assert [number for number, _, _ in rows(article)] == ARTICLES[article][1]
    assert all(theirs and here for _, theirs, here in rows(article))


@pytest.mark.parametrize("article", ARTICLES)
def test_an_article_is_linked_with_its_author_its_year_and_its_presets(article: str):
    preset, _ = ARTICLES[article]
    text = PAGE.section(article)
    assert "https://" in text
    assert re.search("(Rahul Agarwal|Sunita Nayak|Will Koehrsen),", text)
    assert re.search("20(18|19|20)", text)
    for name in (preset, f"offline/{preset}", f"improved/{preset}"):
        assert f"(../presets/{name}.yaml)" in text


def test_there_are_commands_files_and_sections_to_check():
    assert (len(COMMANDS) >= 8, len(FILES) >= 10, len(SECTIONS) >= 12) == (True, True, True)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_exists_with_its_options(command: str):
    cli._parser().parse_args(shlex.split(command)[1:])


def test_what_a_notebook_calls_exists():
    assert 'boatyard.dataset("train", views="random")' in PAGE.text
    assert callable(boatyard.dataset)
    assert "`Classifier.classes`" in PAGE.text
    assert hasattr(boatyard.Classifier, "classes")


@pytest.mark.parametrize("file", FILES)
def test_a_file_is_an_output_of_the_pipeline(file: str):
    outputs = [
        next(iter(output)) if isinstance(output, dict) else output
        for stage in read_yaml("dvc.yaml")["stages"].values()
        for kind in ("outs", "metrics", "plots")
        for output in stage.get(kind, [])
    ]
    if file.startswith("plots/figures/"):
        assert Path(file).stem in figure_registry.FIGURES
    else:
        assert file.removesuffix("/") in outputs


@pytest.fixture(scope="module")
def headings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The headings of a report's page, and what its folded parts are called."""
    root = pretend_run.make(tmp_path_factory.mktemp("run"), pretend_run.SIX, 20)
    run = pretend_run.read(root)
    augment = params.read(root / paths.PARAMS).augment
    shown = pictures.collect(run, root / paths.RAW, pretend_run.PREPROCESSING, augment, 0)
    html = page.render(run, shown, figure_registry.draw(run, shown), pretend_run.PREPROCESSING)
    return [re.sub("<[^>]+>", "", inner) for _, inner in re.findall(r"<(h2|h3|summary)\b[^>]*>(.*?)</\1>", html)]


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_is_a_heading_of_the_report(section: str, headings: list[str]):
    assert any(section.lower() in heading.lower() for heading in headings)


@pytest.mark.parametrize("article", ARTICLES)
def test_a_setting_exists_and_has_the_value_that_the_page_says(article: str):
    preset = read_yaml(f"presets/{ARTICLES[article][0]}.yaml")
    named = [code for code in re.findall(r"`([^`\n]+)`", PAGE.section(article)) if code.partition(".")[0] in preset]
    assert named
    for code in named:
        key, _, value = code.partition(": ")
        setting = preset
        for name in key.split("."):
            assert name in setting, code
            setting = setting[name]
        assert not value or value == str(setting), code
