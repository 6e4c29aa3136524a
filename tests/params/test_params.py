import copy
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from ruamel.yaml import YAML

from boatyard import params
from boatyard.core.errors import UserError
from boatyard.params.schema import RENAMED, CountsSplit, StratifiedSplit

REPOSITORY = Path(__file__).parents[2]
DEFAULT_TEXT = (REPOSITORY / "presets/solar_cells.yaml").read_text(encoding="utf-8")
DEFAULT: dict[str, Any] = YAML(typ="safe", pure=True).load(DEFAULT_TEXT)
# What the tests change is set here, so that they do not depend on the default data set.
TABLE = {
    "kind": "table",
    "root": "photos",
    "file": "labels.csv",
    "delimiter": "comma",
    "header": False,
    "path": 0,
    "label": [1],
    "rename": {"0.0": "sound"},
}
PYPI = {"source": "pypi", "package": "p", "version": "1", "sha256": "0" * 64, "licence": "CC0", "layout": TABLE}
STRATIFIED = {"method": "stratified", "train": 0.6, "validation": 0.2, "test": 0.2, "near_duplicates": 24}
BASE = DEFAULT | {"seed": 0, "dataset": PYPI, "split": STRATIFIED, "tta": {"policies": ["random"], "views": 5}}

MISSING = object()


def text_of(values: object) -> str:
    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump(values, stream)
    return stream.getvalue()


def changed(values: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    values = copy.deepcopy(values)
    *sections, last = key.split(".")
    place = values
    for section in sections:
        place = place[section]
    if value is MISSING:
        del place[last]
    else:
        place[last] = value
    return values


def read(folder: Path, text: str | bytes) -> params.Params:
    path = folder / "params.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return params.read(path)


def message(folder: Path, text: str | bytes) -> str:
    """The error that the user sees, without the file's path in front."""
    with pytest.raises(UserError) as caught:
        read(folder, text)
    text = str(caught.value)
    assert "\n" not in text
    start = str(folder / "params.yaml")
    assert text.startswith(start)
    return text.removeprefix(start)


def test_the_default_preset_is_valid_and_numbers_may_be_written_in_any_form(tmp_path: Path) -> None:
    assert params.read(REPOSITORY / "presets/solar_cells.yaml").seed == DEFAULT["seed"]
    for text in ("1e-05", "1.0e-5", "0.00001"):
        settings = read(tmp_path, text_of(changed(BASE, "train.lr", 9.0)).replace("9.0", text, 1))
        assert settings.train.lr == 1e-05
    assert read(tmp_path, text_of(changed(BASE, "augment.rotation", 15))).augment.rotation == 15.0


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (
            "model.weights",
            "/home/me/own.pth",
            "model.weights: '/home/me/own.pth': write only the file's name, and put the file into "
            "models/weights/, which DVC tracks",
        ),
        ("model.weights", "a\0b", "model.weights: 'a\\x00b': remove the null byte, which a file name cannot contain"),
        (
            "train.batch_size",
            2**63,
            "train.batch_size: 9223372036854775808 is invalid; input should be less than or equal to 1000000",
        ),
        # unknown
        ("evaluate.binz", 3, "evaluate.binz: unknown key; did you mean 'bins'?"),
        ("evaluate.colour", 3, "evaluate.colour: unknown key; remove it; the keys here are resamples, bins"),
        ("evalute", {}, "evalute: unknown key; did you mean 'evaluate'?"),
        ("dataset.layout.delimeter", ",", "dataset.layout.delimeter: unknown key; did you mean 'delimiter'?"),
        ("split.tst", 0.2, "split.tst: unknown key; did you mean 'test'?"),
        # missing
        ("train.lr", MISSING, "train.lr: missing; add it, for example `lr: 0.001`"),
        ("filter.keep", MISSING, "filter.keep: missing; add it, for example `keep: []`"),
        ("seed", MISSING, "seed: missing; add it, for example `seed: 0`"),
        ("augment.scale", MISSING, "augment.scale: missing; add it, for example `scale: [0.8, 1.0]`"),
        (
            "augment.horizontal_flip",
            MISSING,
            "augment.horizontal_flip: missing; add it, for example `horizontal_flip: true`",
        ),
        ("dataset.layout.label", MISSING, 'dataset.layout.label: missing; add it, for example `label: ["label"]`'),
        ("tta", MISSING, "tta: missing; add the section, as in the files in presets/"),
        ("dataset", MISSING, "dataset: missing; add the section, as in the files in presets/"),
        ("split.method", MISSING, "split.method: missing; choose one of 'stratified', 'counts', 'folders'"),
        # wrong type
        ("train.epochs", "many", "train.epochs: 'many' is invalid; input should be a valid integer"),
        ("train.epochs", 1.5, "train.epochs: 1.5 is invalid; input should be a valid integer"),
        ("train.epochs", True, "train.epochs: True is invalid; input should be a valid integer"),
        ("train.lr", "0.001", "train.lr: '0.001' is invalid; input should be a valid number"),
        ("train.lr", True, "train.lr: True is invalid; input should be a valid number"),
        (
            "augment.horizontal_flip",
            "yes",
            "augment.horizontal_flip: 'yes' is invalid; input should be true or false",
        ),
        ("dataset.version", 1.0, "dataset.version: 1.0 is invalid; input should be text in quotes"),
        ("filter.keep", "cat", "filter.keep: 'cat' is invalid; input should be a list, as in [a, b]"),
        ("filter.keep", [1], "filter.keep[0]: 1 is invalid; input should be text in quotes"),
        ("train", 5, "train: 5 is invalid; input should be a section of keys"),
        ("train", None, "train: None is invalid; input should be a section of keys"),
        ("split", [], "split: [] is invalid; input should be a section of keys"),
        ("dataset.layout", "table", "dataset.layout: 'table' is invalid; input should be a section of keys"),
        ("image.size", "big", "image.size: 'big' is invalid; input should be 'backbone' or a valid integer"),
        (
            "dataset.layout.path",
            1.5,
            "dataset.layout.path: 1.5 is invalid; input should be text in quotes or a valid integer",
        ),
        (
            "dataset.layout.rename",
            {0.5: "x"},
            "dataset.layout.rename: the key 0.5 is not text; put it in quotes",
        ),
        # out of range
        ("train.epochs", 0, "train.epochs: 0 is invalid; input should be greater than or equal to 1"),
        ("train.lr", 0.0, "train.lr: 0.0 is invalid; input should be greater than 0"),
        ("train.lr", 11, "train.lr: 11 is invalid; input should be less than or equal to 10"),
        ("seed", -1, "seed: -1 is invalid; input should be greater than or equal to 0"),
        ("seed", 2**63, f"seed: {2**63} is invalid; input should be less than {2**63}"),
        ("model.head.dropout", 1.0, "model.head.dropout: 1.0 is invalid; input should be less than 1"),
        ("image.size", 31, "image.size: 31 is invalid; input should be 'backbone' or greater than or equal to 32"),
        (
            "split.near_duplicates",
            48,
            "split.near_duplicates: 48 is invalid; input should be less than or equal to 47",
        ),
        ("tta.views", 1, "tta.views: 1 is invalid; input should be greater than or equal to 2"),
        (
            "augment.scale",
            [0.0, 1.0],
            "augment.scale[0]: 0.0 is invalid; input should be greater than 0",
        ),
        (
            "augment.aspect",
            [0.01, 1],
            "augment.aspect[0]: 0.01 is invalid; input should be greater than or equal to 0.1",
        ),
        (
            "dataset.layout.root",
            "../up",
            "dataset.layout.root: '../up': write a path relative to the data set's top folder, without '..'",
        ),
        (
            "dataset.sha256",
            "F" * 64,
            f"dataset.sha256: '{'F' * 64}' is invalid; string should match pattern '^[0-9a-f]{{64}}$'",
        ),
        # not a finite number
        ("train.lr", float("nan"), "train.lr: nan is invalid; input should be a finite number"),
        ("train.lr", float("inf"), "train.lr: inf is invalid; input should be a finite number"),
        ("augment.scale", [float("nan"), 1.0], "augment.scale[0]: nan is invalid; input should be a finite number"),
        (
            "image.crop",
            float("nan"),
            "image.crop: nan is invalid; input should be 'backbone' or 'squash' or a finite number",
        ),
        (
            "image.crop",
            "squeeze",
            "image.crop: 'squeeze' is invalid; input should be 'backbone' or 'squash' or a valid number",
        ),
        # an unknown choice
        ("split.method", "x", "split.method: 'x' is unknown; choose one of 'stratified', 'counts', 'folders'"),
        ("tta.policies", ["tta"], "tta.policies[0]: 'tta' is invalid; input should be 'flips' or 'random'"),
        # contradictions
        ("split.train", 0.7, "split: train + validation + test is 1.1; make the three add up to 1"),
        (
            "augment.scale",
            [1.0, 0.8],
            "augment.scale: [1.0, 0.8]: the first number must not be greater than the second; write [0.8, 1.0]",
        ),
        ("filter.keep", ["a", "b", "a"], "filter.keep: ['a', 'b', 'a']: 'a' appears twice; list each only once"),
        (
            "dataset.layout.path",
            "file",
            "dataset.layout: header is false, so path and label must be column numbers, counted from 0",
        ),
        (
            "split",
            {"method": "folders"},
            "params: split.method is 'folders', which needs dataset.layout.kind: split_folders; change either",
        ),
        (
            "filter",
            {"min_images": 1, "keep": ["a"], "drop": ["b", "a"]},
            "filter: class 'a' is in both keep and drop; remove it from one of them",
        ),
        # several at once
        (
            "evaluate",
            {"resamples": 1, "bins": 1},
            "evaluate.resamples: 1 is invalid; input should be greater than or equal to 100 (and 1 more)",
        ),
        (
            "evaluate",
            {"resample": 500, "bins": 15},
            "evaluate.resample: unknown key; did you mean 'resamples'? (and 1 more)",
        ),
    ],
)
def test_a_wrong_value_is_one_line(tmp_path: Path, key: str, value: object, expected: str) -> None:
    assert message(tmp_path, text_of(changed(BASE, key, value))) == f": {expected}"


def test_a_long_value_is_cut_short(tmp_path: Path) -> None:
    assert message(tmp_path, text_of(changed(BASE, "train.epochs", "x" * 5000))) == (
        f": train.epochs: '{'x' * 78}… is invalid; input should be a valid integer"
    )


def test_an_error_for_an_old_key_names_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RENAMED, "finetune.decay", "finetune.block_decay")
    values = changed(changed(BASE, "finetune.block_decay", MISSING), "finetune.decay", 0.9)
    assert message(tmp_path, text_of(values)) == (
        ": finetune.decay: this key is now called finetune.block_decay; rename it (and 1 more)"
    )


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every key of the file that is not a section, with its value."""
    for name, value in values.items():
        if isinstance(value, dict) and name != "rename":
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


@pytest.mark.parametrize(
    "key", [key for key, _ in leaves(BASE) if key.rsplit(".", 1)[-1] not in ("kind", "source", "method", "rename")]
)
def test_the_example_for_a_missing_key_can_be_pasted(tmp_path: Path, key: str) -> None:
    error = message(tmp_path, text_of(changed(BASE, key, MISSING)))
    assert error.startswith(f": {key}: missing; add it, for example `")
    example = YAML(typ="safe", pure=True).load(error.split("`")[1])
    name = key.rsplit(".", 1)[-1]
    assert list(example) == [name]
    if name == "sha256":
        return  # cannot be guessed
    try:
        read(tmp_path, text_of(changed(BASE, key, example[name])))
    except UserError as refusal:
        # Valid in itself, though it may contradict the rest of this file.
        text = str(refusal)
        assert "is invalid" not in text
        assert ": missing;" not in text


def test_a_mapping_in_the_schema_is_not_shared(tmp_path: Path) -> None:
    layout = {"kind": "folders", "root": "."}
    first, second = (read(tmp_path, text_of(changed(BASE, "dataset.layout", layout))).dataset.layout for _ in range(2))
    assert first.rename is not second.rename


def test_names_stay_without_rename(tmp_path: Path) -> None:
    for layout in ({"kind": "folders", "root": "."}, {key: TABLE[key] for key in TABLE if key != "rename"}):
        assert read(tmp_path, text_of(changed(BASE, "dataset.layout", layout))).dataset.layout.rename == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", " is empty; see presets/ for complete files"),
        ("# nothing but a comment\n", " is empty; see presets/ for complete files"),
        ("- 1\n", " is of type list, not a mapping of sections; see presets/ for complete files"),
        ("seed", " is of type str, not a mapping of sections; see presets/ for complete files"),
        (b"seed: 0 # caf\xe9\n", " is not UTF-8 text (invalid continuation byte at byte 13); save it as UTF-8"),
        ("a: 1\nb: [1\nc: 2\n", ", line 3: not valid YAML (expected ',' or ']', but got ':'); fix that line"),
        (
            "seed: 0\nfilter:\n\tmin_images: 3\n",
            ", line 3: not valid YAML (found character '\\t' that cannot start any token); fix that line",
        ),
        (
            "seed: 0\ntrain:\n  lr: 0.1\n  epochs: 3\n  lr: 0.2\n",
            ', line 5: not valid YAML (found duplicate key "lr" with value "0.2" '
            '(original value: "0.1")); fix that line',
        ),
        ("a: *b\n", ", line 1: not valid YAML (found undefined alias 'b'); fix that line"),
        ("a: 1\n---\nb: 1\n", ", line 2: not valid YAML (but found another document); fix that line"),
        (
            "a: !!python/name:os.system x\n",
            ", line 1: not valid YAML (could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/name:os.system'); fix that line",
        ),
        ("a: 2024-13-45\n", ": a value has the wrong form (month must be in 1..12); put it in quotes"),
        ("a: !!int _\n", ": a value has the wrong form (string index out of range); put it in quotes"),
        ("a: !!bool x\n", ": a value has the wrong form ('x'); put it in quotes"),
        ("? [[a]]\n: 1\n", ": a value has the wrong form (unhashable type: 'list'); put it in quotes"),
        ("a: " + "[" * 500, ": brackets are nested too deeply; remove some"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, text: str | bytes, expected: str) -> None:
    assert message(tmp_path, text) == expected


def test_control_characters_are_one_line(tmp_path: Path) -> None:
    assert message(tmp_path, "seed: \0\n").startswith(": not valid YAML (unacceptable character #x0000: ")


@pytest.mark.parametrize("key", ["1", "true", "null", "1.5", "[a, b]", "2024-01-05"])
def test_a_key_that_is_not_text_is_one_line(tmp_path: Path, key: str) -> None:
    assert message(tmp_path, text_of(BASE) + f"? {key}\n: 3\n").endswith(" is not text; put it in quotes")


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml does not exist: run from the repository's root$"):
        params.read(tmp_path / "none.yaml")
    with pytest.raises(UserError, match=r"can't be read \(Is a directory\): fix its permissions$"):
        params.read(tmp_path)


# Whatever is in the file: Params, or one line.

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abkey", max_size=6), inner, max_size=3),
    max_leaves=4,
)


def check(folder: Path, text: str) -> None:
    try:
        settings = read(folder, text)
    except UserError as error:
        line = str(error)
        assert "\n" not in line
        assert len(line) < 1000
        assert line.startswith(str(folder / "params.yaml"))
    else:
        assert type(settings) is params.Params


@examples(80)
@given(st.data())
def test_any_change_of_a_value_is_valid_or_one_line(tmp_path: Path, data: st.DataObject) -> None:
    values = copy.deepcopy(DEFAULT)
    for _ in range(data.draw(st.integers(1, 3))):
        place = values
        while True:
            key = data.draw(st.sampled_from(sorted(place)))
            if not isinstance(place[key], dict) or not place[key] or data.draw(st.booleans()):
                break
            place = place[key]
        value = data.draw(ANYTHING | st.just(place[key]) | st.just(MISSING))
        name = data.draw(st.sampled_from([key, key, f"{key}s", key[1:] or "x", "é"]))
        del place[key]
        if value is not MISSING:
            place[name] = value
    check(tmp_path, text_of(values))


SPLINTERS = [*"{}[]:,#&*!|>'\"%@`-?~. \n\t0189aeé\0", "---\n", "<<: ", "!!int ", ".nan", "1e999"]


@examples(80)
@given(
    st.floats(0, 1),
    st.integers(0, 12),
    st.lists(st.sampled_from(SPLINTERS), max_size=4).map("".join),
)
def test_any_change_of_the_text_is_valid_or_one_line(tmp_path: Path, at: float, cut: int, put: str) -> None:
    place = int(at * len(DEFAULT_TEXT))
    check(tmp_path, DEFAULT_TEXT[:place] + put + DEFAULT_TEXT[place + cut :])


# What a stage can read

PIPELINE = """
stages:
  look:
    cmd: python stages/look.py
    params: [seed, filter, model.head, model.backbone, split.train]
  blind:
    cmd: python stages/blind.py
"""


def loaded(folder: Path, stage: str, values: dict[str, Any] = BASE) -> params.Params:
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "params.yaml").write_text(text_of(values), encoding="utf-8")
    return params.load(stage, folder / "dvc.yaml", folder / "params.yaml")


def test_a_stage_can_read_only_the_keys_that_it_declares(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "look", changed(BASE, "seed", 7))
    assert settings.seed == 7
    assert settings.filter.min_images == BASE["filter"]["min_images"]
    assert settings.model.head.hidden == BASE["model"]["head"]["hidden"]
    assert settings.model.backbone == BASE["model"]["backbone"]
    assert settings.split.train == 0.6  # type: ignore[union-attr]
    for name, undeclared in [
        ("train", lambda: settings.train),
        ("model.weights", lambda: settings.model.weights),
        ("split.test", lambda: settings.split.test),  # type: ignore[union-attr]
        ("split.method", lambda: settings.split.method),
    ]:
        with pytest.raises(AttributeError) as caught:
            undeclared()
        assert str(caught.value) == (f"stage 'look' reads {name}: list it under the stage's params in dvc.yaml")
    with pytest.raises(AttributeError, match="reads seed"):
        _ = loaded(tmp_path, "blind").seed


def test_dump_has_the_keys_that_the_stage_declared(tmp_path: Path) -> None:
    assert params.dump(loaded(tmp_path, "look")) == {
        "filter": BASE["filter"],
        "model.backbone": BASE["model"]["backbone"],
        "model.head": BASE["model"]["head"],
        "seed": 0,
        "split.train": 0.6,
    }
    assert list(params.dump(loaded(tmp_path, "look"))) == [
        "filter",
        "model.backbone",
        "model.head",
        "seed",
        "split.train",
    ]
    assert params.dump(loaded(tmp_path, "blind")) == {}


def test_load_checks_the_whole_file_and_the_stage_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"params\.yaml: tta\.views: 0 is invalid"):
        loaded(tmp_path, "look", changed(BASE, "tta.views", 0))
    with pytest.raises(UserError, match=r"dvc\.yaml has no stage 'lok'; its stages are look, blind$"):
        loaded(tmp_path, "lok")


def test_the_tag_of_a_section_chooses_its_type(tmp_path: Path) -> None:
    assert isinstance(read(tmp_path, text_of(BASE)).split, StratifiedSplit)
    counts = read(tmp_path, text_of(changed(BASE, "split", {"method": "counts", "train": 60, "validation": 10})))
    assert isinstance(counts.split, CountsSplit)
    assert (counts.split.train, counts.split.validation) == (60, 10)
