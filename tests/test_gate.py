"""The gate: what two results folders, written by hand, are said to be, through the real command line."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from conftest import Run
from scipy import stats
from test_report import config_of, record, records, timing

from bench import timings
from bench.gate.results import Margins, compare_results
from bench.records import MetricValue, Record, Store
from bench.statistics import unpaired_difference


def folder(root: Path, made: Sequence[Record], **more: Any) -> Path:
    for one in made:
        Store(root).write(one.path, one)
    timings.write(root, timing(list(made), **more))
    return root


def good(values: Sequence[float], first: int = 0, **more: Any) -> list[Record]:
    """The usual records, those of the method 'good' with these values, from this seed on."""
    others = [r for r in records() if r.label not in ("good", "broken")]
    return others + [record("student", "good", first + i, value, **more) for i, value in enumerate(values)]


BEFORE = [85.0, 87.2, 86.1]


def data(name: str) -> list[Record]:
    others = [r for r in records() if r.label not in ("good", "broken")]
    return [*others, record("student", "good", 0, 85.0, config_of("student", "good", 0, data=name))]


@pytest.mark.parametrize(
    ("before", "after", "speed", "code", "said"),
    [
        (good(BEFORE), good(BEFORE), {}, 0, "pass: "),
        (good(BEFORE), good([75.0, 77.3, 76.1]), {}, 1, "regressed: 1 regressed"),
        (good(BEFORE), good([95.0, 97.3, 96.1]), {}, 0, "1 improved"),
        (good(BEFORE), good([80.0, 90.0, 85.0]), {}, 4, "not clear of the margin of 0.861"),
        (good(BEFORE), good([75.0, 77.3, 76.1], first=7), {}, 1, "no seed in common"),
        (good([85.0]), good([85.1]), {}, 4, "one seed and no test items"),
        (good(BEFORE), good([]), {}, 3, "not in the candidate"),
        (data("digits"), data("letters"), {}, 3, "config.data: 'digits', and 'letters'"),
        (good(BEFORE), good(BEFORE), {"quick": 3e-5}, 1, "20.00 us -> 30.00 us"),
        (good(BEFORE), good(BEFORE), {"environment": {"cpu": "other"}}, 3, "environment.cpu: None, and 'other'"),
        (good(BEFORE), good(BEFORE), {"launches": (), "unavailable": "no compiler"}, 3, "no compiler"),
        (good(BEFORE), good(BEFORE), {"launches": timing(records()).launches[:2]}, 4, "2 launches on a side, 3 are"),
    ],
)
def test_verdicts_and_exit_codes(
    cli: Run, tmp_path: Path, before: list[Record], after: list[Record], speed: dict[str, Any], code: int, said: str
) -> None:
    one, other = folder(tmp_path / "before", before), folder(tmp_path / "after", after, **speed)
    done = cli("compare", one, other)
    assert (done.returncode, done.stderr) == (code, "")
    assert said in done.stdout


def test_what_is_inconclusive_may_be_allowed(cli: Run, tmp_path: Path) -> None:
    one, other = folder(tmp_path / "a", good(BEFORE)), folder(tmp_path / "b", good([80.0, 90.0, 85.0]))
    assert cli("compare", one, other, "--allow-inconclusive").returncode == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--quality-margin", "much"], "--quality-margin: 'much' is not a margin"),
        (["--quality-margin", "accuracy=-1"], "is not a margin"),
        (["--speed-margin", "nan%"], "--speed-margin: 'nan%' is not a margin"),
        (["--metrics", "acuracy"], "did you mean 'accuracy'?"),
        (["--least-seconds", "nan"], "--least-seconds: nan is not a time"),
    ],
)
def test_what_cannot_be_meant_is_a_line(cli: Run, tmp_path: Path, options: list[str], said: str) -> None:
    one = folder(tmp_path / "a", good(BEFORE))
    done = cli("compare", one, one, *options)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_no_folder_is_an_error_of_the_user_and_an_empty_one_nothing_to_compare(cli: Run, tmp_path: Path) -> None:
    assert cli("compare", tmp_path / "no", tmp_path).returncode == 2
    assert cli("compare", tmp_path, tmp_path).returncode == 3


def test_a_record_that_cannot_be_used_is_named_and_the_others_are_compared(tmp_path: Path) -> None:
    one, other = folder(tmp_path / "a", good(BEFORE)), folder(tmp_path / "b", good(BEFORE))
    broken = other / good(BEFORE)[-1].path
    broken.write_text(broken.read_text().replace('"config_hash": "', '"config_hash": "0'))
    report = compare_results(one, other, Margins())
    assert report.exit_code() == 3
    assert any("config_hash" in f.reason and "good/seed-2.json" in f.cell for f in report.findings)
    assert any(f.outcome == "pass" for f in report.findings)


def test_another_unit_cannot_be_compared(tmp_path: Path) -> None:
    other = {"accuracy": MetricValue(value=0.85, direction="higher", unit="parts")}
    after = [r.model_copy(update={"metrics": other}) for r in good(BEFORE)]
    report = compare_results(folder(tmp_path / "a", good(BEFORE)), folder(tmp_path / "b", after), Margins())
    assert {f.outcome for f in report.findings if f.metric == "accuracy"} == {"incomparable"}


def test_the_formats(cli: Run, tmp_path: Path) -> None:
    one, other = folder(tmp_path / "a", good([85.0])), folder(tmp_path / "b", good([85.1]))
    whole = json.loads(cli("compare", one, other, "--format", "json").stdout, parse_constant=pytest.fail)
    assert (whole["outcome"], whole["exit_code"]) == ("inconclusive", 4)
    file = tmp_path / "gate.xml"
    assert cli("compare", one, other, "--format", "junit", "--output", file).returncode == 4
    suite = ElementTree.parse(file).getroot()
    assert int(suite.get("tests", "0")) == len(whole["findings"]) == len(suite)
    assert len(suite.findall("testcase/skipped")) == 1
    assert "## distillbench compare: inconclusive" in cli("compare", one, other, "--format", "github").stdout


def test_welch_as_scipy_has_it() -> None:
    a, b = [3.0, 4.5, 5.2, 4.1], [2.0, 2.2, 6.0]
    found, theirs = unpaired_difference(a, b), stats.ttest_ind(a, b, equal_var=False)
    ends = theirs.confidence_interval(0.95)
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((ends.low, ends.high))
    assert found.p == pytest.approx(theirs.pvalue)


def by_the_gate(before: Sequence[float], after: Sequence[float], root: Path) -> str:
    report = compare_results(folder(root / "a", good(before)), folder(root / "b", good(after)), Margins())
    return next(f.outcome for f in report.findings if f.cell.endswith("good") and f.metric == "accuracy")


def check(comparator: Callable[..., str], root: Path) -> None:
    """Finds a change of 5 points under noise, up as often as down, and claims none where there is none."""
    rng, found = random.Random(0), {}
    for change in (-5.0, 0.0, 5.0):
        sides = [[[rng.gauss(mean, 0.7) for _ in range(5)] for mean in (85, 85 + change)] for _ in range(20)]
        found[change] = [comparator(*side, root / f"{change}-{i}") for i, side in enumerate(sides)]
    worse, better = found[-5.0].count("regressed"), found[5.0].count("improved")
    assert min(worse, better) >= 15
    assert abs(worse - better) <= 4
    assert found[0.0].count("regressed") + found[0.0].count("improved") <= 1


def test_changes_under_noise_are_found_both_ways(tmp_path: Path) -> None:
    check(by_the_gate, tmp_path)


def test_a_comparator_that_never_alarms_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        check(lambda *_: "pass", tmp_path)


def launches(root: Path, seconds: Sequence[float], python: str = "3.11.9") -> Path:
    root.mkdir()
    for i, median in enumerate(seconds):
        one = {"fullname": "t.py::test_step", "stats": {"median": median}}
        machine = {"python_version": python, "cpu": {"brand_raw": "a", "hz_actual": i}}
        (root / f"{i}.json").write_text(json.dumps({"machine_info": machine, "benchmarks": [one]}))
    return root


@pytest.mark.parametrize(
    ("seconds", "python", "code", "said"),
    [
        ([1.0, 1.001, 1.002], "3.11.9", 0, "pass: 1 pass"),
        ([1.2, 1.201, 1.202], "3.11.9", 1, "regressed"),
        ([1.0], "3.11.9", 4, "1 launch on a side, 3 are needed"),
        ([1.0, 1.001, 1.002], "3.12.0", 3, "machine_info.python_version"),
        ([1.0, float("nan")], "3.11.9", 2, "stats.median: nan"),
    ],
)
def test_benchmarks(cli: Run, tmp_path: Path, seconds: list[float], python: str, code: int, said: str) -> None:
    one, other = launches(tmp_path / "a", [1.0, 1.001, 1.002]), launches(tmp_path / "b", seconds, python)
    done = cli("compare", one, other)
    assert done.returncode == code
    assert said in done.stdout + done.stderr
