"""The quality gate on metrics that are compared as ratios."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from distillbench.bench.compare.findings import Finding
from distillbench.bench.compare.margins import Margins
from distillbench.bench.compare.results import compare_results
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.records import Record
from support.boards import folder
from support.records import distances

BEFORE = [22.0, 39.5, 52.0, 76.0, 110.5]


def finding(root: Path, before: Sequence[Record], after: Sequence[Record], margins: Margins | None = None) -> Finding:
    report = compare_results(folder(root / "before", before), folder(root / "after", after), margins or Margins())
    (found,) = (finding for finding in report.findings if finding.metric == "fid")
    return found


def scaled(factors: Sequence[float]) -> list[Record]:
    return distances("good", [value * factor for value, factor in zip(BEFORE, factors, strict=True)])


def test_a_regression_is_a_factor_whose_interval_lies_beyond_the_margin(tmp_path: Path) -> None:
    factors = [1.10, 1.13, 1.11, 1.14, 1.12]
    found = finding(tmp_path, distances("good", BEFORE), scaled(factors))
    logs = np.log(factors)
    low, high = np.exp(stats.t.interval(0.95, 4, logs.mean(), stats.sem(logs)))
    assert found.change is not None
    assert found.change.kind == "ratio"
    assert (found.change.value, found.change.low, found.change.high) == pytest.approx((stats.gmean(factors), low, high))
    assert (found.baseline, found.candidate) == pytest.approx(
        (stats.gmean(BEFORE), found.change.value * found.baseline)
    )  # type: ignore[operator]
    assert found.outcome == "regressed"
    assert f"×{found.change.value:.3f} [×{low:.3f}, ×{high:.3f}], beyond the margin of ×1.010" in found.reason


@pytest.mark.parametrize(
    ("factors", "margins", "outcome"),
    [
        ([1.000, 1.002, 0.999, 1.001, 0.998], Margins(), "pass"),
        ([0.90, 0.93, 0.91, 0.94, 0.92], Margins(), "improved"),
        ([1.10, 1.13, 1.11, 1.14, 1.12], Margins(quality=0.2), "pass"),
        ([1.10, 1.13, 1.11, 1.14, 1.12], Margins(by_metric={"fid": 10.0}), "pass"),
        ([1.10, 1.13, 1.11, 1.14, 1.12], Margins(by_metric={"fid": 2.0}), "regressed"),
        ([0.7, 1.6, 0.8, 1.3, 1.2], Margins(), "inconclusive"),
    ],
)
def test_the_verdicts(tmp_path: Path, factors: list[float], margins: Margins, outcome: str) -> None:
    assert finding(tmp_path, distances("good", BEFORE), scaled(factors), margins).outcome == outcome


def test_other_seeds_are_compared_by_welchs_test_of_logarithms(tmp_path: Path) -> None:
    after = [2.31, 2.45, 2.38, 2.52, 2.34]
    moved = [
        record.model_copy(update={"seed": record.seed + 7, "config": record.config | {"seed": record.seed + 7}})
        for record in distances("good", after)
    ]
    moved = [record.model_copy(update={"config_hash": canonical_hash(record.config)}) for record in moved]
    found = finding(tmp_path, distances("good", BEFORE), moved)
    ends = stats.ttest_ind(np.log(after), np.log(BEFORE), equal_var=False).confidence_interval(0.95)
    assert found.change is not None
    assert (found.change.low, found.change.high) == pytest.approx(np.exp([ends.low, ends.high]))


def test_values_that_are_read_in_another_way_are_not_compared(tmp_path: Path) -> None:
    found = finding(tmp_path, distances("good", BEFORE), distances("good", BEFORE, compared="difference"))
    assert found.outcome == "incomparable"
    assert found.reason == "compared: 'ratio' in the baseline, 'difference' in the candidate"
