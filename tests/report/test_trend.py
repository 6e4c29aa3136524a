"""The trend of accuracy over the number of training photos, held against SciPy's regression."""

import numpy as np
import pytest
from scipy import stats

from boatyard.evaluation.class_results import ClassResult
from boatyard.report import trend


def results(*pairs: tuple[int, float]) -> list[ClassResult]:
    return [ClassResult(f"{n}", images, 4, top1, 0, 1, 1, 1, 0.5, None, 0.5) for n, (images, top1) in enumerate(pairs)]


def test_the_slope_and_its_interval_are_those_of_a_least_squares_line() -> None:
    pairs = [(10, 0.5), (25, 0.6), (40, 0.55), (80, 0.8), (200, 0.75)]
    fitted = trend.fit(results(*pairs))
    assert fitted

    images, top1 = zip(*pairs, strict=True)
    expected = stats.linregress(np.log2(images), top1)
    margin = stats.t.ppf(0.975, 3) * expected.stderr
    assert fitted.slope == pytest.approx(expected.slope)
    assert (fitted.low, fitted.high) == pytest.approx((expected.slope - margin, expected.slope + margin))
    assert fitted.at(64) == pytest.approx(expected.intercept + 6 * expected.slope)


def test_the_text_claims_a_trend_only_if_the_interval_excludes_zero() -> None:
    rising = trend.fit(results((10, 0.50), (20, 0.61), (40, 0.69), (80, 0.80)))
    falling = trend.fit(results((10, 0.80), (20, 0.69), (40, 0.61), (80, 0.50)))
    unclear = trend.fit(results((10, 0.5), (20, 0.9), (40, 0.4), (80, 0.8)))

    assert str(rising).startswith("Classes with more training photos do better: +9.8 points for twice as many")
    assert str(falling).startswith("Classes with more training photos do worse: −9.8 points for twice as many")
    assert str(unclear).startswith("No clear trend: +4.0 points for twice as many training photos (95 % interval −")


def test_no_trend_with_too_few_classes_or_equal_counts() -> None:
    assert trend.fit(results((10, 0.5), (20, 0.6))) is None
    assert trend.fit(results((60, 0.5), (60, 0.6), (60, 0.9))) is None
