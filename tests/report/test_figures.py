"""The figures draw the numbers that they are given, in the same bytes each time, whatever the classes are called."""

import io
import re
import warnings
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from PIL import Image, ImageChops

from boatyard.curation.catalog import ClassCount, ImageSize, Photo
from boatyard.evaluation.calibration import ConfidenceBin
from boatyard.evaluation.class_results import ClassResult
from boatyard.evaluation.comparison import TtaClassResult
from boatyard.evaluation.predictions import Prediction
from boatyard.report import trend
from boatyard.report.figures import bars, charts, sheets, style
from boatyard.training.history import Epoch

HOSTILE = ("<script>", "$x_1$ and $\\frac", "a" * 200, "שלום", "🚢", "line\nbreak")


def measured(label: str, top1: float, train: int = 10, low: float = 0.25, high: float = 0.75) -> ClassResult:
    return ClassResult(label, train, 4, top1, low, high, 1.0, 1.0, 0.5, None, 0.5)


RESULTS = [measured("cat", 0.75, 200), measured("dog", 0.5, 40), measured("emu", 1.0, 90, 0.6, 1.0)]


def test_class_counts_are_the_bars_lengths() -> None:
    figure = bars.class_counts([ClassCount("few", 3, 0), ClassCount("many", 50, 50), ClassCount("some", 20, 18)])
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.containers[0]] == [50, 20, 3]
    assert [bar.get_width() for bar in axes.containers[1]] == [50, 18, 0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["many", "some", "few"]
    assert [text.get_text() for text in axes.texts] == ["50", "18 of 20", "0 of 3"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first row on top


def test_per_class_shows_top1_in_its_interval_the_worst_on_top() -> None:
    (axes,) = bars.per_class(RESULTS).axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["dog", "cat", "emu"]
    assert list(axes.lines[0].get_xdata()) == [0.5, 0.75, 1.0]
    assert list(axes.lines[0].get_ydata()) == [0, 1, 2]
    (intervals,) = [item for item in axes.collections if isinstance(item, LineCollection)]
    assert [[tuple(end) for end in line] for line in intervals.get_segments()] == [
        [(0.25, 0), (0.75, 0)],
        [(0.25, 1), (0.75, 1)],
        [(0.6, 2), (1.0, 2)],
    ]


def test_tta_vs_plain_shows_both() -> None:
    rows = [TtaClassResult("cat", 4, 0.75, 0.5, -0.25, 0, 1), TtaClassResult("dog", 4, 0.5, 0.75, 0.25, 1, 0)]
    (axes,) = bars.tta_vs_plain(rows).axes
    plain, several = axes.lines
    assert (plain.get_label(), list(plain.get_xdata())) == ("plain view", [0.5, 0.75])
    assert (several.get_label(), list(several.get_xdata())) == ("several views", [0.75, 0.5])


def test_a_figure_of_very_many_classes_shows_some_and_says_so() -> None:
    (axes,) = bars.per_class([measured(f"class {number:04d}", number / 999) for number in range(1000)]).axes
    assert len(axes.get_yticklabels()) == bars.MAX_ROWS
    assert axes.get_yticklabels()[0].get_text() == "class 0000"
    assert axes.get_title(loc="left") == "the 120 worst of 1,000 classes"


def test_image_sizes_are_the_dots() -> None:
    (axes,) = charts.image_sizes([ImageSize(300, 200, 4), ImageSize(100, 400, 1)]).axes
    (dots,) = axes.collections
    assert [tuple(dot) for dot in dots.get_offsets()] == [(300, 200), (100, 400)]
    areas = dots.get_sizes()
    assert areas[0] > areas[1]


def photos(**sides: list[int]) -> list[Photo]:
    return [Photo("", label, 4 * side, side, "RGB", "", "") for label, values in sides.items() for side in values]


def test_class_sizes_show_each_classs_distribution_the_largest_on_top() -> None:
    (axes,) = bars.class_sizes(photos(small=[10, 20, 30], large=[100] * 9 + [200])).axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["large", "small"]
    assert list(axes.lines[0].get_xdata()) == [200, 40]  # sqrt(4 side · side) = 2 side
    thin, thick = [item.get_segments() for item in axes.collections if isinstance(item, LineCollection)]
    assert [list(line[:, 0]) for line in thick] == [[200, 200], [30, 50]]
    assert [list(line[:, 0].round(6)) for line in thin] == [[200, 310], [22, 58]]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_class_sizes_of_many_classes_fit_the_page_and_name_some() -> None:
    figure = bars.class_sizes(photos(**{f"class {number:03d}": [500 - number] for number in range(101)}))
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["class 000", "class 050", "class 100"]
    assert figure.get_figheight() < 6


def history(*phases: str) -> list[Epoch]:
    return [
        Epoch(number, phase, 1 / number, 1.5 / number, 0.5, 0.4, 0.001)  # type: ignore[arg-type]
        for number, phase in enumerate(phases, 1)
    ]


def test_curves_are_the_history_and_mark_the_kept_epoch() -> None:
    loss, top1 = charts.curves(history("head", "head", "head", "head"), best=3).axes
    train, validation, mark, dot = loss.lines
    assert list(train.get_xdata()) == [1, 2, 3, 4]
    assert list(train.get_ydata()) == [1, 1 / 2, 1 / 3, 1 / 4]
    assert list(validation.get_ydata()) == [1.5, 0.75, 0.5, 0.375]
    assert list(mark.get_xdata()) == [3, 3]
    assert (list(dot.get_xdata()), list(dot.get_ydata()), dot.get_label()) == ([3], [0.5], "best epoch: 3")
    assert list(top1.lines[1].get_ydata()) == [0.4] * 4
    assert not loss.patches


def test_curves_shade_fine_tuning() -> None:
    loss, _ = charts.curves(history("head", "head", "finetune", "finetune"), best=4).axes
    (shade,) = loss.patches
    assert (shade.get_x(), shade.get_width()) == (2.5, 2.0)
    assert [text.get_text() for text in loss.texts] == ["fine-tuning"]


def test_accuracy_vs_count_puts_each_class_at_its_count() -> None:
    (axes,) = charts.accuracy_vs_count(RESULTS, None).axes
    assert len(axes.lines) == 1
    assert list(axes.lines[0].get_xdata()) == [200, 40, 90]
    assert list(axes.lines[0].get_ydata()) == [0.75, 0.5, 1.0]
    assert sorted(text.get_text() for text in axes.texts) == ["cat", "dog", "emu"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["50", "100", "200"]
    assert axes.get_ylim()[0] == pytest.approx(0.2 - 0.02 * 0.8)  # just below the lowest interval


def test_accuracy_vs_count_draws_the_trend() -> None:
    fitted = trend.fit(RESULTS)
    assert fitted
    _, line = charts.accuracy_vs_count(RESULTS, fitted).axes[0].lines
    counts, accuracies = line.get_data()
    assert (counts[0], counts[-1]) == pytest.approx((40, 200))
    assert list(accuracies) == pytest.approx([fitted.at(count) for count in np.asarray(counts)])


def test_names_of_dots_in_one_place_do_not_lie_on_one_another() -> None:
    figure = charts.accuracy_vs_count([measured(f"a long class name {n}", 0.5, 40 + n % 2) for n in range(14)], None)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 14
    assert all(box.count_overlaps(boxes) == 1 for box in boxes)  # each with itself


def test_a_dot_at_100_percent_among_others_has_its_name() -> None:
    """Results on boats, where three classes have nearly the same number of training photos."""
    rows = [
        measured("buoy", 0.786, 41, 0.524, 0.924),
        measured("cruise ship", 0.896, 143, 0.778, 0.955),
        measured("gondola", 1.0, 145, 0.926, 1.0),
        measured("kayak", 0.961, 152, 0.868, 0.989),
        measured("sailboat", 0.99, 293, 0.944, 0.998),
    ]
    (axes,) = figure_of(rows).axes
    assert {text.get_text() for text in axes.texts} == {row.label for row in rows}


def test_reliability_bars_are_accuracies_and_counts() -> None:
    rows = [ConfidenceBin(0.4, 0.5, 3, 0.45, 0.25), ConfidenceBin(0.9, 1.0, 8, 0.97, 0.875)]
    top, bottom = charts.reliability(rows).axes
    assert [(bar.get_x(), bar.get_height()) for bar in top.patches] == [(0.4, 0.25), (0.9, 0.875)]
    assert [bar.get_height() for bar in bottom.patches] == [3, 8]
    assert list(top.lines[0].get_xdata()) == [0.45, 0.97]


def test_confusion_matrix_writes_photos_and_colours_shares() -> None:
    (axes,) = charts.confusion_matrix(["cat", "dog"], np.array([[3, 1], [0, 4]])).axes
    assert [(text.get_position(), text.get_text()) for text in axes.texts] == [
        ((1, 1), "3"),
        ((2, 1), "1"),
        ((2, 2), "4"),
    ]
    cells = axes.images[0].get_array()
    assert cells is not None
    assert np.allclose(cells[..., 3], np.sqrt([[0.75, 0.25], [0, 1]]) * 0.95)
    assert np.allclose(cells[0, 0, :3], np.array([0x0B, 0x62, 0xA3]) / 255)  # right
    assert np.allclose(cells[0, 1, :3], np.array([0xB8, 0x49, 0x0A]) / 255)  # wrong


def test_confusion_matrix_of_many_classes_has_no_text_and_of_very_many_keeps_single_mistakes() -> None:
    (axes,) = charts.confusion_matrix([f"{n}" for n in range(101)], np.eye(101, dtype=np.int64)).axes
    assert not axes.texts
    assert axes.images[0].get_array().shape == (101, 101, 4)  # type: ignore[union-attr]
    counts = np.eye(1000, dtype=np.int64)
    counts[3, 997] = 1
    (axes,) = charts.confusion_matrix([f"{n}" for n in range(1000)], counts).axes
    cells = np.asarray(axes.images[0].get_array())
    assert cells.shape == (200, 200, 4)
    assert cells[0, 199, 3] == pytest.approx(np.sqrt(0.5) * 0.95)
    assert cells[1, 199, 3] == 0


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_drawn_as_they_are(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing glyph, a formula that does not parse
        figure = bars.per_class([measured(name, 0.5), measured("cat", 0.75)])
        style.png(figure)
        drawing = style.svg(figure, "hostile")
    assert "<script" not in drawing
    shown = figure.axes[0].get_yticklabels()[0].get_text()
    assert len(shown) <= 26
    assert "\n" not in shown


def test_shorten_keeps_both_ends() -> None:
    assert style.shorten("poly-likely-functional", 11) == "poly-…ional"
    assert style.shorten("short", 5) == "short"


def test_a_label_shows_a_box_for_what_the_font_lacks() -> None:
    assert style.label("🚢 boat\tyard") == "□ boat yard"


def test_percent_of_an_axis() -> None:
    assert [style.percent(value, 0) for value in (0.8, 0.995, 1)] == ["80 %", "99.5 %", "100 %"]


def figure_of(results: list[ClassResult]) -> Figure:
    return charts.accuracy_vs_count(results, trend.fit(results))


def test_same_data_same_bytes_whatever_the_machines_settings() -> None:
    first, drawing = style.png(figure_of(RESULTS)), style.svg(figure_of(RESULTS), "a")
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 20, "savefig.dpi": 50, "text.color": "red"}):
        assert style.png(figure_of(RESULTS)) == first
        assert style.svg(figure_of(RESULTS), "a") == drawing


def test_a_png_says_nothing_but_its_pixels() -> None:
    with Image.open(io.BytesIO(style.png(figure_of(RESULTS)))) as image:
        assert image.width == round(style.WIDTH * style.DPI)
        assert set(image.info) <= {"dpi"}


def test_an_svg_asks_for_nothing_and_takes_its_colours_from_the_page() -> None:
    drawing = style.svg(figure_of(RESULTS), "a")
    assert drawing.startswith('<svg viewBox="0 0 ')
    assert "http" not in drawing
    assert "<style" not in drawing
    assert "font-family" not in drawing
    assert "fill: var(--accent)" in drawing
    assert not re.search(r": #[0-9a-f]{6}", drawing)


def test_svgs_in_one_page_share_no_id() -> None:
    ids = [set(re.findall(r' id="([^"]*)"', style.svg(figure_of(RESULTS), name))) for name in ("a", "b")]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_the_font_is_matplotlibs_own() -> None:
    assert Path(findfont("DejaVu Sans")).is_relative_to(matplotlib.get_data_path())


RED, BLUE = Image.new("RGB", (30, 30), "#ff0000"), Image.new("RGB", (60, 30), "#0000ff")


def test_sample_grid_lays_photos_in_rows_of_classes() -> None:
    sheet = sheets.sample_grid([("cat", [RED] * 8), ("dog", [BLUE] * 8)])
    assert sheet.width == sheets.WIDTH
    middle = sheets.CELL // 2
    top = sheets.MARGIN + sheets.LINE
    below = top + sheets.CELL + 2 * sheets.GAP + sheets.LINE
    last = sheets.MARGIN + 7 * (sheets.CELL + sheets.GAP)
    assert sheet.getpixel((sheets.MARGIN + middle, top + middle)) == (255, 0, 0)
    assert sheet.getpixel((last + middle, top + middle)) == (255, 0, 0)
    assert sheet.getpixel((sheets.MARGIN + middle, below + middle)) == (0, 0, 255)
    # A wide photo is whole: paper above and below it.
    assert sheet.getpixel((sheets.MARGIN + middle, below + 2)) == (255, 255, 255)


def test_sample_grid_of_many_classes_puts_eight_in_a_row() -> None:
    assert (
        sheets.sample_grid([(str(n), [RED]) for n in range(9)]).height
        == 2 * sheets.MARGIN + 2 * (sheets.LINE + sheets.CELL + 2 * sheets.GAP) - 2 * sheets.GAP
    )


def test_augmented_views_shows_photo_plain_view_and_all_views() -> None:
    sheet = sheets.augmented_views(RED, BLUE, [RED] * 15 + [BLUE])
    colours = sheet.getcolors(1 << 20)
    assert colours is not None
    counts = {colour: count for count, colour in colours}
    large = 2 * sheets.CELL + sheets.GAP
    assert counts[(255, 0, 0)] == large**2 + 15 * sheets.CELL**2
    assert counts[(0, 0, 255)] == large * round(30 * large / 60) + sheets.CELL * round(30 * sheets.CELL / 60)


WRONG = Prediction("cat/1.png", "cat", "dog", 0.75, 0.25, (("dog", 0.75), ("cat", 0.25)))
RIGHT = Prediction("cat/2.png", "cat", "cat", 0.5, 0.5, (("cat", 0.5), ("dog", 0.25)))


def bar(sheet: Image.Image, colour: str) -> int:
    """The length of a sheet's longest run of pixels of a colour in a row."""
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.asarray(sheet) == rgb).all(axis=2).sum(axis=1).max())


def test_predictions_draw_probabilities_as_bars_coloured_by_the_actual_class() -> None:
    room = (sheets.WIDTH - 2 * sheets.MARGIN - 3 * sheets.GAP) // 2 - 2 * sheets.CELL + sheets.GAP - 2 * sheets.GAP
    wrong, right = (sheets.predictions([(prediction, RED)], "cat") for prediction in (WRONG, RIGHT))

    assert bar(wrong, style.CONTRAST) == round(0.75 * room)
    assert bar(wrong, style.ACCENT) == round(0.25 * room)
    assert bar(right, style.ACCENT) == round(0.5 * room)
    assert bar(right, style.GREY) == round(0.25 * room)
    assert bar(right, style.CONTRAST) == 0
    assert bar(right, style.RULE) == room - round(0.25 * room)  # the track behind the shorter bar


def test_a_sheet_of_one_class_leaves_its_name_to_the_heading() -> None:
    other = replace(RIGHT, actual="a cat", predicted="a cat")
    one, named = (
        [sheets.predictions([(row, RED)], "", one_class=flag) for row in (RIGHT, other)] for flag in (True, False)
    )
    top = (0, 0, sheets.WIDTH, sheets.MARGIN + 2 * sheets.LINE + sheets.GAP)
    assert one[0].crop(top).tobytes() == one[1].crop(top).tobytes()
    assert named[0].crop(top).tobytes() != named[1].crop(top).tobytes()


def test_a_photos_file_name_is_below_it() -> None:
    sheets_ = [sheets.predictions([(replace(RIGHT, path=path), RED)], "") for path in ("cat/2.png", "cat/other.png")]
    (left, top, right, bottom) = ImageChops.difference(*sheets_).getbbox() or (0, 0, 0, 0)
    side = 2 * sheets.CELL - sheets.GAP
    assert left >= sheets.MARGIN
    assert right <= sheets.MARGIN + side
    assert top >= sheets.MARGIN + sheets.LINE + sheets.GAP + side
    assert bottom <= sheets_[0].height


def test_odds_add_the_actual_class_where_it_is_not_among_the_top() -> None:
    top = (("a", 0.4), ("b", 0.3))
    assert sheets.odds(Prediction("", "b", "a", 0.4, 0.3, top)) == [("a", 0.4), ("b", 0.3)]
    assert sheets.odds(Prediction("", "c", "a", 0.4, 0.01, top)) == [("a", 0.4), ("b", 0.3), ("c", 0.01)]


def test_an_answer_marks_the_actual_class_if_it_is_known() -> None:
    top = [("dog", 0.75), ("cat", 0.25)]
    room = sheets.WIDTH - 2 * sheets.MARGIN - 4 * sheets.CELL - 3 * sheets.GAP
    unknown, wrong, right = (sheets.answer(RED, "a.jpg", top, actual) for actual in (None, "cat", "dog"))

    assert (bar(unknown, style.ACCENT), bar(unknown, style.CONTRAST)) == (round(0.75 * room), 0)
    assert (bar(wrong, style.CONTRAST), bar(wrong, style.ACCENT)) == (round(0.75 * room), round(0.25 * room))
    assert (bar(right, style.ACCENT), bar(right, style.CONTRAST)) == (round(0.75 * room), 0)
    # A line for the actual class: the bars are further down.
    assert (np.asarray(unknown) != np.asarray(right)).any()


def test_a_sheet_is_the_same_bytes_each_time() -> None:
    groups = [(name, [RED, BLUE]) for name in HOSTILE]
    assert sheets.png(sheets.sample_grid(groups)) == sheets.png(sheets.sample_grid(groups))
