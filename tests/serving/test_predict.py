"""`boatyard predict`, from the command line on."""

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boatyard import Classifier, cli
from boatyard.core import paths, splits, tables
from boatyard.evaluation import tta
from boatyard.images.decoding import open_photo
from boatyard.images.views import FIRST_TTA_VIEW, PLAIN, PhotoViews, Recipe, plain_view
from boatyard.models import model_header
from boatyard.params.schema import Augment
from boatyard.report.figures import sheets
from boatyard.serving import output_formats, predict
from boatyard.serving.known_classes import KnownClasses


@pytest.fixture
def photos(model_repository: Path) -> Path:
    folder = model_repository / "photos"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.jpg", "more/a.png")):
        pixels = np.random.default_rng(number).integers(0, 256, (60 + 9 * number, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(["predict", *arguments])
    return int(end.value.code or 0)


def results(capsys: pytest.CaptureFixture[str]) -> dict[str, list[tuple[str, float]]]:
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {row["path"]: [(place["label"], place["probability"]) for place in row["top"]] for row in rows}


def expected(photo: Path) -> list[tuple[str, float]]:
    return [(label, round(share, 6)) for label, share in Classifier.load(paths.ONNX)(photo).top(3)]


def test_photos_are_classified_in_order(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("photos/more", "photos", "--format", "jsonl", "--topk", "3") == 0

    found = results(capsys)
    assert list(found) == ["photos/more/a.png", "photos/a.png", "photos/b.jpg"]
    assert all(top == expected(Path(path)) for path, top in found.items())
    assert len({str(top) for top in found.values()}) == 3


def test_a_large_jpeg_is_seen_everywhere_as_the_stages_see_it(photos: Path) -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    large = photos / "large.jpg"
    Image.fromarray(pixels).resize((1200, 800), Image.Resampling.BICUBIC).save(large, quality=90)
    header = model_header.read(paths.MODEL)
    sha256 = hashlib.sha256(large.read_bytes()).hexdigest()
    (stages,) = header.recipe().open(large, sha256, [PLAIN]).views()

    assert not np.array_equal(stages, plain_view(open_photo(large), header.preprocessing))  # it was decoded smaller
    for model in (paths.ONNX, paths.MODEL):
        assert np.array_equal(Classifier.load(model).plain_view(large), stages)
    for policy in (None, "random"):
        seen = predict.views_of(header, policy)(large)
        assert np.array_equal((seen.views() if isinstance(seen, PhotoViews) else seen)[0], stages)


def test_either_model_file_gives_the_same(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("photos", "--format", "json")
    one = capsys.readouterr().out
    run("photos", "--format", "json", "--model", "models/model.safetensors")

    assert capsys.readouterr().out == one


def test_paths_come_from_standard_input(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("photos/b.jpg\nphotos/more\n"))

    assert run("--format", "jsonl") == 0
    assert list(results(capsys)) == ["photos/b.jpg", "photos/more/a.png"]


def test_a_bad_file_is_reported_and_skipped(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "bad.jpg").write_text("text")
    (photos / "cut.png").write_bytes((photos / "a.png").read_bytes()[:2000])

    status = run("photos", "nowhere.png", "--format", "csv", "--output", "out/answers.csv")

    output = capsys.readouterr()
    assert (status, output.out) == (1, "")
    assert output.err.splitlines()[-4] == "error: photos/bad.jpg: not a photo in a known format; skipped"
    assert output.err.splitlines()[-3].startswith("error: photos/cut.png: damaged")
    assert output.err.splitlines()[-2:] == [
        "error: nowhere.png: no such file; skipped",
        "3 of 6 files could not be read",
    ]
    lines = Path("out/answers.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["path", "photos/a.png", "photos/b.jpg", "photos/more/a.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photos", "--model", "nowhere.onnx"], "nowhere.onnx does not exist"),
        (["nothing*.jpg"], "no photo matches"),
        (
            ["--tta", "photos"],
            "--tta needs the policy in metrics/tta_evaluate.json, which does not exist: use",
        ),
    ],
)
def test_a_users_mistake_is_one_line(
    photos: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(*arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert output.err.count("\n") == 1
    assert message in output.err


@pytest.mark.parametrize("count", ["0", "-1", "many", "2.5"])
def test_topk_is_a_count(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("x.jpg", f"--topk={count}") == 2
    assert f"'{count}' is not a positive integer" in capsys.readouterr().err


def test_an_interrupted_output_is_not_there(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("answers.json").write_text("before")

    def stop(*_: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(output_formats, "lines", lambda *_: (stop() for _ in "x"))
    monkeypatch.setattr(os, "_exit", sys.exit)  # which would end pytest
    assert run("photos", "--output", "answers.json") == 130
    assert Path("answers.json").read_text() == "before"
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["answers.json", "models", "photos"]


def test_tta_takes_the_views_that_the_stage_takes(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = model_header.read(paths.MODEL)
    recipe = Recipe(header.preprocessing, Augment.model_validate(header.params["augment"]), header.params["seed"])
    classifier, photo = Classifier.load(paths.ONNX), photos / "b.jpg"
    sha256 = hashlib.sha256(photo.read_bytes()).hexdigest()

    for policy, count in (("flips", 2), ("random", 5)):
        numbers = range(FIRST_TTA_VIEW, FIRST_TTA_VIEW + 4) if policy == "random" else []
        views = recipe.open(photo, sha256, [-1, *numbers]).views()
        if policy == "flips":
            views.append(np.ascontiguousarray(views[0][:, :, ::-1]))
        assert len(views) == count
        rows = np.stack([next(classifier.each([0], lambda _, v=view: [v])).log_probabilities for view in views])
        mean = np.exp(tta.mean_probabilities(rows[None])[0])
        run("--tta-policy", policy, str(photo), "--format", "jsonl", "--topk", "3")
        ((_, top),) = results(capsys).items()
        assert dict(top) == {name: round(float(share), 6) for name, share in zip(header.classes, mean, strict=True)}


def test_tta_without_a_word_is_what_was_chosen(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths.TTA_METRICS.parent.mkdir()
    paths.TTA_METRICS.write_text('{"policy": "random", "views": 3}')

    run("--tta", "photos", "--format", "jsonl")
    chosen = results(capsys)
    run("photos", "--tta-policy", "random", "--format", "jsonl")
    assert chosen != results(capsys)  # five views
    paths.TTA_METRICS.write_text('{"policy": "flips", "views": 2}')
    run("--tta", "photos", "--format", "jsonl")
    flips = results(capsys)
    run("photos", "--tta-policy", "flips", "--format", "jsonl")
    assert flips == results(capsys)


def test_flips_that_the_photos_do_not_allow_are_refused(photos: Path) -> None:
    header = model_header.read(paths.MODEL)
    header.params["augment"]["horizontal_flip"] = False

    with pytest.raises(predict.UserError, match="the model was trained without flips"):
        predict.views_of(header, "flips")
    with pytest.raises(predict.UserError, match="lacks its augmentation settings"):
        predict.views_of(model_header.Header(**{**vars(header), "params": {"augment": {"scale": "x"}}}), "random")


def test_pictures_are_drawn_one_for_each_photo(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("photos", "--picture", "drawn") == 0

    assert sorted(path.name for path in Path("drawn").iterdir()) == ["a 2.png", "a.png", "b.png"]
    first = {path.name: path.read_bytes() for path in Path("drawn").iterdir()}
    assert len(set(first.values())) == 3
    assert all(Image.open(path).size[0] > 800 for path in Path("drawn").iterdir())
    run("photos", "--picture", "drawn")
    assert {path.name: path.read_bytes() for path in Path("drawn").iterdir()} == first


def test_a_picture_shows_the_class_of_a_photo_whose_folder_or_content_is_known(photos: Path) -> None:
    inside = paths.RAW / "ferry" / "1.png"
    inside.parent.mkdir(parents=True)
    Image.fromarray(np.random.default_rng(7).integers(0, 256, (70, 90, 3), dtype=np.uint8)).save(inside)
    (photos / "copy.png").write_bytes(inside.read_bytes())
    Path("link").symlink_to(paths.RAW, target_is_directory=True)
    class_of = KnownClasses()

    assert class_of(inside) == class_of(inside.absolute()) == class_of(Path("link/ferry/1.png")) == "ferry"
    assert class_of(photos / "copy.png") is None  # there is no data/splits.csv
    sha256 = hashlib.sha256(inside.read_bytes()).hexdigest()
    tables.write_rows(paths.SPLITS, splits.Sample, [splits.Sample("ferry/1.png", "ferry", "test", sha256)])
    assert KnownClasses()(photos / "copy.png") == "ferry"
    assert KnownClasses()(photos / "a.png") is None

    assert run("photos/copy.png", "photos/a.png", "--picture", "drawn", "--topk", "1") == 0
    known, unknown = (Image.open(f"drawn/{name}.png") for name in ("copy", "a"))
    answer = Classifier.load(paths.ONNX)(inside)
    top = list(answer.top(1)) + ([] if answer.label == "ferry" else [("ferry", answer.probabilities["ferry"])])
    assert known.tobytes() == sheets.answer(open_photo(inside), "copy.png", top, "ferry").tobytes()
    other = Classifier.load(paths.ONNX)(photos / "a.png").top(1)
    assert unknown.tobytes() == sheets.answer(open_photo(photos / "a.png"), "a.png", other).tobytes()


@pytest.mark.parametrize(
    ("name", "shown"),
    [("é 船.jpg", "é 船.jpg"), ("two\nlines\x1b[31m.jpg", "two\\nlines\\x1b[31m.jpg"), (b"\xff.jpg", "\ufffd.jpg")],
)
def test_names_are_escaped_for_terminals(name: str | bytes, shown: str) -> None:
    assert output_formats.printable(predict.name_of(Path(os.fsdecode(name)))) == shown


def test_a_program_gets_the_name_as_it_is(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "photos/two\nlines\x1b[31m.png"
    (photos / "a.png").rename(name)

    run(name, "--format", "jsonl")
    assert list(results(capsys)) == [name]
    run(name, "--format", "csv")
    assert next(csv.DictReader(io.StringIO(capsys.readouterr().out, newline="")))["path"] == name
    run(name)
    assert capsys.readouterr().out.startswith("photos/two\\nlines\\x1b[31m.png  ")


def test_a_reader_that_has_seen_enough_ends_it_quietly(photos: Path) -> None:
    command = [sys.executable, "-m", "boatyard", "predict", *["photos/a.png", "photos/b.jpg"], "--format", "jsonl"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stderr
    process.stdout.close()  # before the first line

    assert process.stderr.read() == ""
    assert process.wait() == 141
