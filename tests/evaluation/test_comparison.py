"""TTA against plain: counts and texts by hand, McNemar against SciPy, and the rate of false gains."""

import re
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from properties import examples
from scipy.stats import binomtest

from boatyard.core import tables
from boatyard.evaluation.comparison import (
    ClassChange,
    Comparison,
    TtaClassResult,
    compare,
    holm,
    mcnemar,
    per_class,
    verdict,
)

bounded = examples(60)

ACTUAL = np.array([0, 0, 0, 1, 1, 2])
PLAIN = np.array([0, 1, 1, 1, 1, 0])
TTA = np.array([0, 0, 2, 0, 1, 2])


def photos(fixed, broken, both_right, both_wrong=0):
    """Which photos are right without and with TTA, given these counts."""
    counts = [fixed, broken, both_right, both_wrong]
    return np.repeat([False, True, True, False], counts), np.repeat([True, False, True, False], counts)


def test_by_hand():
    found = compare(PLAIN == ACTUAL, TTA == ACTUAL, resamples=500, seed=0)
    # Plain is right on photos 0, 3, 4, TTA on 0, 1, 4, 5: photos 1 and 5 are fixed, photo 3 is broken.
    assert (found.images, found.top1_gain, found.fixed, found.broken) == (6, pytest.approx(1 / 6), 2, 1)
    assert found.top1_gain_low < 0 < found.top1_gain_high
    # The mean of six draws of −1, 0 or 1 goes by sixths.
    assert found.top1_gain_low * 6 == pytest.approx(round(found.top1_gain_low * 6))


def test_the_interval_of_many_photos_is_the_normal_one():
    found = compare(*photos(600, 400, 8000, 1000), resamples=5000, seed=1)
    # The standard error of the gain 0.02: √((0.1 − 0.02²) / 10,000) = 0.003156.
    assert found.top1_gain == pytest.approx(0.02)
    assert found.top1_gain_low == pytest.approx(0.02 - 1.96 * 0.003156, abs=4e-4)
    assert found.top1_gain_high == pytest.approx(0.02 + 1.96 * 0.003156, abs=4e-4)


def test_pairs_make_the_interval_narrower_than_two_separate_ones():
    # Two accuracies of 0.8 on 1,000 photos each would differ by ± 1.96 · √(2 · 0.16 / 1000) = 0.035.
    found = compare(*photos(12, 12, 788, 188), resamples=2000, seed=0)
    assert found.top1_gain_high - found.top1_gain_low < 0.022


def test_in_reverse_a_gain_is_a_loss():
    found, turned = (
        compare(PLAIN == ACTUAL, TTA == ACTUAL, resamples=500, seed=0),
        compare(TTA == ACTUAL, PLAIN == ACTUAL, resamples=500, seed=0),
    )
    assert turned.top1_gain == -found.top1_gain
    assert (turned.fixed, turned.broken) == (found.broken, found.fixed)


@pytest.mark.parametrize(
    ("fixed", "broken", "expected"), [(0, 0, 1.0), (4, 0, 0.125), (5, 1, 0.21875), (6, 0, 0.03125)]
)
def test_mcnemar_by_hand(fixed, broken, expected):
    assert mcnemar(fixed, broken) == pytest.approx(expected)
    assert mcnemar(broken, fixed) == pytest.approx(expected)


@bounded
@example(10, 1065)  # found by fuzzing: SciPy says 0, and the p-value is 2.7e-300
@given(st.integers(0, 3000), st.integers(0, 3000).filter(bool))
def test_mcnemar_agrees_with_exact_arithmetic(fixed, broken):
    changed, fewer = fixed + broken, min(fixed, broken)
    ways = sum(accumulate(range(fewer), lambda ways, step: ways * (changed - step) // (step + 1), initial=1))
    exact = min(1.0, float(Fraction(2 * ways, 2**changed)))
    assert mcnemar(fixed, broken) == pytest.approx(exact, rel=1e-8, abs=1e-300)


def test_mcnemar_of_a_hundred_thousand_photos():
    assert mcnemar(50_300, 49_700) == pytest.approx(binomtest(50_300, 100_000, 0.5).pvalue, rel=1e-8)


def test_holm_by_hand():
    # In order of size 4 · 0.005, 3 · 0.01, 2 · 0.03, and 0.04, which may not fall below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_verdict_without_evidence():
    text = verdict(Comparison(504, 2 / 504, -7 / 504, 11 / 504, 12, 10))
    assert text == (
        "No evidence that TTA helps: +0.4 points (95 % interval −1.4 to +2.2) on 504 photos; 12 fixed, 10 broken."
    )


def test_verdict_of_a_gain_and_of_a_loss():
    gain = Comparison(1462, 0.0212, 0.0062, 0.0369, 45, 14)
    assert verdict(gain) == (
        "TTA helps: +2.12 points (95 % interval +0.62 to +3.69) on 1,462 photos; 45 fixed, 14 broken."
    )
    loss = Comparison(1462, -0.0212, -0.0369, -0.0062, 14, 45)
    assert verdict(loss) == (
        "TTA hurts: −2.12 points (95 % interval −3.69 to −0.62) on 1,462 photos; 14 fixed, 45 broken."
    )


def test_verdict_where_nothing_changes():
    same = compare(PLAIN == ACTUAL, PLAIN == ACTUAL, resamples=100, seed=0)
    most = 1.959964**2 / (6 + 1.959964**2)  # Wilson's upper bound for none of six
    assert (same.images, same.top1_gain, same.fixed, same.broken) == (6, 0.0, 0, 0)
    assert (same.top1_gain_low, same.top1_gain_high) == pytest.approx((-most, most), rel=1e-5)
    assert verdict(same) == "No evidence that TTA helps: none of the 6 photos changed between right and wrong."
    assert verdict(replace(same, images=1)).endswith("none of the 1 photo changed between right and wrong.")


def test_verdict_where_the_bootstrap_alone_is_overconfident():
    few = compare(*photos(5, 0, 400, 95), resamples=2000, seed=0)
    assert few.top1_gain_low > 0
    assert verdict(few).startswith("No evidence that TTA helps: +1.0 points (95 % interval +0.2 to ")
    assert verdict(few).endswith("5 fixed, 0 broken, too few to tell (McNemar's exact p = 0.062).")
    single = compare(*photos(1, 0, 0), resamples=100, seed=0)
    assert verdict(single) == (
        "No evidence that TTA helps: +100.0 points (95 % interval +100.0 to +100.0) on 1 photo; "
        "1 fixed, 0 broken, too few to tell (McNemar's exact p = 1.000)."
    )


def test_verdict_touching_zero_is_no_evidence():
    text = verdict(Comparison(504, 6 / 504, 0.0, 11 / 504, 6, 0))  # though McNemar's p is 0.031
    assert text == (
        "No evidence that TTA helps: +1.2 points (95 % interval 0.0 to +2.2) on 504 photos; 6 fixed, 0 broken."
    )


def test_an_interval_that_excludes_zero_is_never_shown_as_zero():
    text = verdict(Comparison(20_000, 0.0012, 1 / 20_000, 0.0024, 300, 276))
    assert "interval +0.005 to +0.240" in text


@pytest.mark.parametrize("changed", [0.02, 0.2])
def test_random_changes_are_rarely_called_a_gain(changed):
    """TTA that only shuffles answers: 'helps' and 'hurts' together stay below 5 %."""
    trials, count = 600, 300
    generator = np.random.default_rng(11)
    called = []
    for number in range(trials):
        fixed, broken, _ = generator.multinomial(count, [changed / 2, changed / 2, 1 - changed])
        found = compare(*photos(fixed, broken, count - fixed - broken), resamples=300, seed=number)
        called.append(verdict(found).split(":")[0])
    wrong = sum(opening != "No evidence that TTA helps" for opening in called) / trials
    assert wrong <= 0.05 + 3 * (0.05 * 0.95 / trials) ** 0.5


def test_a_real_gain_is_found():
    # 40 fixed, 15 broken: McNemar's p is 0.001.
    assert verdict(compare(*photos(40, 15, 400, 50), resamples=2000, seed=0)).startswith("TTA helps: +5.0 points")
    assert verdict(compare(*photos(15, 40, 400, 50), resamples=2000, seed=0)).startswith("TTA hurts: −5.0 points")


def test_per_class_by_hand():
    assert per_class(PLAIN, TTA, ACTUAL, ["a", "b", "c", "d"]) == [
        ClassChange("a", 3, pytest.approx(1 / 3), pytest.approx(2 / 3), 1, 0),
        ClassChange("b", 2, 1.0, 0.5, 0, 1),
        ClassChange("c", 1, 0.0, 1.0, 1, 0),
        ClassChange("d", 0, None, None, 0, 0),
    ]


def test_the_table_of_classes(tmp_path):
    changes = per_class(PLAIN, TTA, ACTUAL, ["a", "b", "c", "d"])
    tables.write_rows(tmp_path / "rows.csv", TtaClassResult, map(TtaClassResult.of, changes[:3]))
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    assert lines[0] == "label,test_images,plain_top1,tta_top1,gain,fixed,broken"
    assert lines[2:] == ["b,2,1.0,0.5,-0.5,0,1", "c,1,0.0,1.0,1.0,1,0"]
    with pytest.raises(ValueError, match="class 'd' has no test photo"):
        TtaClassResult.of(changes[3])


@bounded
@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=40))
def test_classes_add_up_to_the_whole(answers):
    plain, tta, actual = np.array(answers).T
    whole = compare(plain == actual, tta == actual, resamples=100, seed=0)
    rows = per_class(plain, tta, actual, ["a", "b", "c", "d"])
    assert sum(row.fixed for row in rows) == whole.fixed
    assert sum(row.broken for row in rows) == whole.broken
    assert sum(row.images for row in rows) == whole.images
    assert (whole.fixed - whole.broken) / whole.images == pytest.approx(whole.top1_gain)
    assert re.fullmatch(r"(TTA helps|TTA hurts|No evidence that TTA helps): .+\.", verdict(whole))


@pytest.mark.parametrize(("plain", "tta", "actual"), [([0], [0, 1], [0, 1]), ([], [], []), ([[0]], [[0]], [[0]])])
def test_answers_must_be_to_the_same_photos(plain, tta, actual):
    before, after, truth = (np.array(values, int) for values in (plain, tta, actual))
    with pytest.raises(ValueError, match=r"must all be \[n\]"):
        compare(before == 0, after == 0, resamples=100, seed=0)
    with pytest.raises(ValueError, match=r"must all be \[n\]"):
        per_class(before, after, truth, ["a", "b"])
