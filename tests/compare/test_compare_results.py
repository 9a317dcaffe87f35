"""Two results folders, written by hand, compared: the rules of the verdicts."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from distillbench.bench.compare.findings import Finding, Report
from distillbench.bench.compare.margins import Margins
from distillbench.bench.compare.results import compare_results
from distillbench.bench.statistics import unpaired_difference
from distillbench.bench.store import exports, timings
from distillbench.bench.store.exports import Artefact, Export
from distillbench.bench.store.records import Failure, MetricValue, Record
from distillbench.bench.store.timings import Condition
from support.records import config_of, record, records, timing
from support.results import BEFORE, folder, good


def compared(root: Path, before: Sequence[Record], after: Sequence[Record], **speed: Any) -> Report:
    return compare_results(folder(root / "before", before), folder(root / "after", after, **speed), Margins())


def finding_of(report: Report, metric: str, cell: str = "classification/cnn_mlp/good") -> Finding:
    (finding,) = (f for f in report.findings if (f.cell, f.metric) == (cell, metric))
    return finding


def data(name: str) -> list[Record]:
    others = [r for r in records() if r.label not in ("good", "broken")]
    return [*others, record("student", "good", 0, 85.0, config_of("student", "good", 0, data=name))]


FAILED = [*good([]), record("student", "good", 0, None, failure=Failure(reason="RuntimeError: boom"))]


@pytest.mark.parametrize(
    ("before", "after", "speed", "code", "outcome", "reason"),
    [
        (good(BEFORE), good(BEFORE), {}, 0, "pass", "bit-identical"),
        (good(BEFORE), good([85.1, 87.2, 86.0]), {}, 0, "pass", "within the margin of 0.861"),
        (good(BEFORE), good([75.0, 77.3, 76.1]), {}, 1, "regressed", "beyond the margin of 0.861"),
        (good(BEFORE), good([95.0, 97.3, 96.1]), {}, 0, "improved", "beyond the margin of 0.861"),
        (good(BEFORE), good([80.0, 90.0, 85.0]), {}, 4, "inconclusive", "interval crosses the margin of 0.861"),
        (good(BEFORE), good([75.0, 77.3, 76.1], first=7), {}, 1, "regressed", "fewer than 2 seeds in common"),
        (good(BEFORE), good([75.0, 77.3, 76.1], first=2), {}, 1, "regressed", "fewer than 2 seeds in common"),
        (good([85.0]), good([85.1]), {}, 4, "inconclusive", "only 1 seed in common (at least 2 needed)"),
        (good([85.0]), good([85.0]), {}, 0, "pass", "bit-identical"),
        (
            good([85.0]),
            good([75.0, 77.0], first=1),
            {},
            4,
            "inconclusive",
            "only 1 seed on one side (at least 2 needed)",
        ),
        (good(BEFORE), good([]), {}, 3, "missing", "missing from the candidate"),
        (good(BEFORE), FAILED, {}, 3, "missing", "failed in the candidate: RuntimeError: boom"),
        (
            data("digits"),
            data("letters"),
            {},
            3,
            "incomparable",
            "config.data: 'digits' in the baseline, 'letters' in the candidate",
        ),
        (good(BEFORE), good(BEFORE), {"quick": 3e-5}, 1, "regressed", "20.00 us -> 30.00 us, ratio 1.5000"),
        (good(BEFORE), good(BEFORE), {"quick": 3e-5}, 1, "regressed", "10.00× -> 6.67×, ratio 0.6667"),
        (good(BEFORE), good(BEFORE), {"quick": 1e-5}, 0, "improved", "10.00× -> 20.00×, ratio 2.0000"),
        (
            good(BEFORE),
            good(BEFORE),
            {"environment": {"cpu": "b"}},
            3,
            "incomparable",
            "environment.cpu: None in the baseline, 'b' in the candidate",
        ),
        (good(BEFORE), good(BEFORE), {"launches": (), "unavailable": "no compiler"}, 3, "missing", "no compiler"),
        (
            good(BEFORE),
            good(BEFORE),
            {"launches": timing(records()).launches[:2]},
            4,
            "inconclusive",
            "only 2 launches on one side",
        ),
    ],
)
def test_verdicts(
    tmp_path: Path,
    before: list[Record],
    after: list[Record],
    speed: dict[str, Any],
    code: int,
    outcome: str,
    reason: str,
) -> None:
    report = compared(tmp_path, before, after, **speed)
    assert report.exit_code() == code
    assert [f for f in report.findings if f.outcome == outcome and reason in f.reason]


@pytest.mark.parametrize("factor", [0.7, 1.3])
def test_a_slower_machine_is_no_change_of_the_student(tmp_path: Path, factor: float) -> None:
    # Trap: two sessions of one machine, an hour apart, differed by 11 % where nothing had changed.
    report = compared(tmp_path, good(BEFORE), good(BEFORE), slow=2e-4 * factor, quick=2e-5 * factor)
    latency = finding_of(report, "latency, eager, batch 1", "classification/cnn_mlp")
    assert (report.exit_code(), latency.outcome) == (4, "inconclusive")
    assert f"the latency of the unchanged teacher changed too (ratio {factor:.4f})" in latency.reason
    assert finding_of(report, "speedup, eager, batch 1", "classification/cnn_mlp").outcome == "pass"


def test_a_latency_change_is_not_claimed_where_the_teacher_differs(tmp_path: Path) -> None:
    report = compared(tmp_path, good(BEFORE), good(BEFORE), slow=3e-4, quick=3e-5, teacher="another")
    latency = finding_of(report, "latency, eager, batch 1", "classification/cnn_mlp")
    assert latency.outcome == "inconclusive"
    assert "compare --revisions" in latency.reason
    assert "over a different teacher" in finding_of(report, "speedup, eager, batch 1", "classification/cnn_mlp").reason


def test_one_slowdown_among_many_must_be_significant(tmp_path: Path) -> None:
    # Two quick sessions of 126 values are never equal: each alone at 5 % would be an alarm in most comparisons.
    margins, codes = Margins(speed=0.01, seconds=1e-7), []
    for others in (0, 30):
        sides = [folder(tmp_path / f"{side}-{others}", good(BEFORE)) for side in ("before", "after")]
        timings.write(sides[1], timing(good(BEFORE), quick=2.1e-5))
        for size in range(2, 2 + others):
            for side, quick in zip(sides, (2e-5, 2.0001e-5), strict=True):  # alike, but measured twice
                timings.write(side, timing(good(BEFORE), quick=quick, condition=Condition(batch_size=size)))
        report = compare_results(*sides, margins)
        codes.append(report.exit_code())
    assert codes == [1, 4]
    assert (
        "not significant among 31 comparisons"
        in finding_of(report, "speedup, eager, batch 1", "classification/cnn_mlp").reason
    )


@pytest.mark.parametrize("spread", [0.0, 0.2])
@pytest.mark.parametrize("launches", [1, 2, 3])
def test_a_folder_compared_with_itself_passes(tmp_path: Path, launches: int, spread: float) -> None:
    seconds = [2e-5 * (1 + spread * i) for i in range(launches)]
    chosen = tuple(timing(records(), quick=value).launches[0] for value in seconds)
    root = export(folder(tmp_path / "a", good(BEFORE), launches=chosen), {"Conv": 2})
    report = compare_results(root, root, Margins(), metrics=["all"])
    assert {f.outcome for f in report.findings} == {"pass"}
    for metric in ("speedup", "latency"):
        assert "identical" in finding_of(report, f"{metric}, eager, batch 1", "classification/cnn_mlp").reason


def test_a_copy_of_a_timing_passes_and_counts_for_no_comparison(tmp_path: Path) -> None:
    first, copy = folder(tmp_path / "a", good(BEFORE)), folder(tmp_path / "b", good(BEFORE))
    for side, quick in ((first, 2e-5), (copy, 2.1e-5)):
        timings.write(side, timing(good(BEFORE), quick=quick, condition=Condition(batch_size=2)))
    report = compare_results(first, copy, Margins(speed=0.01, seconds=1e-7))
    assert finding_of(report, "speedup, eager, batch 1", "classification/cnn_mlp").outcome == "pass"
    assert finding_of(report, "speedup, eager, batch 2", "classification/cnn_mlp").outcome == "regressed"


def test_times_may_be_restricted_to_backends(tmp_path: Path) -> None:
    first, second = folder(tmp_path / "a", good(BEFORE)), folder(tmp_path / "b", good(BEFORE), quick=3e-5)
    assert compare_results(first, second, Margins(), backends=["eager"]).exit_code() == 1
    assert compare_results(first, second, Margins(), backends=["onnxruntime"]).exit_code() == 0


def test_a_slower_call_counts_only_beyond_both_margins(tmp_path: Path) -> None:
    first, second = folder(tmp_path / "a", good(BEFORE)), folder(tmp_path / "b", good(BEFORE), quick=2.1e-5)
    latency, cell = "latency, eager, batch 1", "classification/cnn_mlp"
    for speed, seconds, outcome in (
        (0.01, 2e-6, "pass"),  # 1 us of 2
        (0.01, 1e-7, "regressed"),
        (0.1, 1e-7, "pass"),
    ):
        margins = Margins(speed=speed, seconds=seconds)
        assert finding_of(compare_results(first, second, margins), latency, cell).outcome == outcome
    assert (
        finding_of(compare_results(second, first, Margins(speed=0.01, seconds=1e-7)), latency, cell).outcome
        == "improved"
    )


@pytest.mark.parametrize(("change", "outcome"), [(0.98, "pass"), (1.02, "pass"), (1.08, "regressed")])
def test_two_days_of_stored_times_may_differ_by_some_per_cent(tmp_path: Path, change: float, outcome: str) -> None:
    slow, quick = 2e-2, 2e-3
    first = folder(tmp_path / "a", good(BEFORE), slow=slow, quick=quick)
    second = folder(tmp_path / "b", good(BEFORE), slow=slow, quick=quick * change)
    report = compare_results(first, second, Margins())
    for metric in ("speedup", "latency"):
        assert finding_of(report, f"{metric}, eager, batch 1", "classification/cnn_mlp").outcome == outcome


def test_a_latency_that_varies_by_more_than_its_speedup_passes_with_it(tmp_path: Path) -> None:
    """From launch to launch the machine is slower by up to 8%, and the teacher with it."""
    noisy = tuple(timing(records(), 2e-2 * f, 2e-3 * f).launches[0] for f in (1.0, 1.04, 1.08))
    first = folder(tmp_path / "a", good(BEFORE), launches=noisy)
    second = folder(tmp_path / "b", good(BEFORE), launches=noisy[::-1])
    latency, cell = "latency, eager, batch 1", "classification/cnn_mlp"
    finding = finding_of(compare_results(first, second, Margins()), latency, cell)
    assert (finding.outcome, "but the speedup is within its margins" in finding.reason) == ("pass", True)
    second = folder(tmp_path / "b", good(BEFORE), launches=noisy[::-1], teacher="another")
    assert finding_of(compare_results(first, second, Margins()), latency, cell).outcome == "inconclusive"


@pytest.mark.parametrize(
    ("field", "update"),
    [
        ("unit", {"metrics": {"accuracy": MetricValue(value=0.85, direction="higher", unit="parts")}}),
        ("direction", {"metrics": {"accuracy": MetricValue(value=85, direction="lower", unit="%")}}),
        ("primary_metric", {"primary_metric": "nll"}),
        ("split", {"trial": 0}),
    ],
)
def test_different_data_metrics_and_splits_are_incomparable(tmp_path: Path, field: str, update: dict[str, Any]) -> None:
    trials_only = field == "split"  # a teacher is not tried
    after = [r if trials_only and r.kind != "student" else r.model_copy(update=update) for r in good(BEFORE)]
    report = compared(tmp_path, good(BEFORE), after)
    assert finding_of(report, "accuracy").outcome == "incomparable"
    assert finding_of(report, "accuracy").reason.startswith(f"{field}: ")
    assert report.exit_code() == 3


def with_examples(values: Sequence[float], seed: int) -> list[Record]:
    """Test examples of which some are far harder than others, equally for each method."""
    rng, names = random.Random(1), tuple(f"example {i}" for i in range(30))
    hard, noise, changed = [rng.gauss(0, 20) for _ in names], random.Random(seed), []
    for r in good(values):
        if r.label == "good":
            examples = tuple(r.metrics["accuracy"].value + h + noise.gauss(0, 0.1) for h in hard)
            mean = r.metrics["accuracy"].model_copy(update={"value": sum(examples) / len(examples)})
            fields = {
                "examples": {"accuracy": examples},
                "example_names": names,
                "metrics": r.metrics | {"accuracy": mean},
            }
            r = r.model_copy(update=fields)
        changed.append(r)
    return changed


def test_metrics_are_paired_by_test_example(tmp_path: Path) -> None:
    """Unpaired, examples that differ by 20 points would hide a change of 3."""
    before = with_examples(BEFORE, 0)
    for i, (change, outcome) in enumerate([(0.0, "pass"), (-3.0, "regressed"), (3.0, "improved")]):
        report = compared(tmp_path / str(i), before, with_examples([value + change for value in BEFORE], 2))
        assert finding_of(report, "accuracy").outcome == outcome


def test_examples_do_not_make_up_for_seeds(tmp_path: Path) -> None:
    report = compared(tmp_path, with_examples([85.0], 0), with_examples([75.0], 2))
    assert finding_of(report, "accuracy").outcome == "inconclusive"
    assert "only 1 seed in common (at least 2 needed)" in finding_of(report, "accuracy").reason


@pytest.mark.parametrize(("sign", "outcome"), [(-1, "regressed"), (1, "improved")])
def test_a_change_among_many_comparisons_must_be_significant(tmp_path: Path, sign: int, outcome: str) -> None:
    after = [value + sign * change for value, change in zip(BEFORE, (3.9, 3.0, 3.3), strict=True)]
    assert finding_of(compared(tmp_path / "one", good(BEFORE), good(after)), "accuracy").outcome == outcome

    def among(change: float) -> list[Record]:
        return [record("student", f"m{i}", s, 80.0 + s + change * (s - 1)) for i in range(9) for s in range(3)]

    report = compared(tmp_path / "many", [*good(BEFORE), *among(0)], [*good(after), *among(0.01)])
    assert finding_of(report, "accuracy").outcome == "inconclusive"
    assert "not significant among" in finding_of(report, "accuracy").reason


def export(root: Path, operators: dict[str, int], size: int = 1000) -> Path:
    student = good(BEFORE)[-1]
    exports.write(
        root,
        Export(
            task=student.task,
            pair=student.pair,
            label=student.label,
            seed=0,
            config_hash=student.config_hash,
            weights_sha256="w",
            artefacts={"float32": Artefact(bytes=size, operators=operators)},
        ),
    )
    return root


@pytest.mark.parametrize(
    ("operators", "size", "metric", "outcome", "reason"),
    [
        ({"Conv": 2, "Relu": 1}, 1000, "ONNX operators", "pass", "3, equal"),
        ({"Conv": 2, "Relu": 1}, 1000, "ONNX bytes", "pass", "1,000, equal"),
        ({"Conv": 2, "Relu": 1, "Cast": 1}, 1000, "ONNX operators", "regressed", "3 -> 4, +1 (+1 Cast)"),
        ({"Conv": 2}, 1000, "ONNX operators", "improved", "3 -> 2, -1 (-1 Relu)"),
        (
            {"Conv": 2, "Gelu": 1},
            1000,
            "ONNX operators",
            "inconclusive",
            "3 in both, but of different kinds: +1 Gelu, -1 Relu",
        ),
        ({"Conv": 2, "Relu": 1}, 1001, "ONNX bytes", "regressed", "1,000 -> 1,001, +1"),
        ({"Conv": 2, "Relu": 1}, 999, "ONNX bytes", "improved", "1,000 -> 999, -1"),
    ],
)
def test_exports_are_compared_exactly(
    tmp_path: Path, operators: dict[str, int], size: int, metric: str, outcome: str, reason: str
) -> None:
    before = export(folder(tmp_path / "a", good(BEFORE)), {"Conv": 2, "Relu": 1})
    after = export(folder(tmp_path / "b", good(BEFORE)), operators, size)
    finding = finding_of(compare_results(before, after, Margins()), metric)
    assert finding.outcome == outcome
    assert reason in finding.reason


def test_a_lost_export_is_missing(tmp_path: Path) -> None:
    before = export(folder(tmp_path / "a", good(BEFORE)), {"Conv": 2})
    report = compare_results(before, folder(tmp_path / "b", good(BEFORE)), Margins())
    assert finding_of(report, "ONNX operators").outcome == "missing"


def hash_of_something_else(text: str) -> str:
    return text.replace('"config_hash": "', '"config_hash": "0')


def of_another_schema(text: str) -> str:
    return text.replace('"schema_version": 6', '"schema_version": 3')


def with_nan(text: str) -> str:
    return text.replace('"value": 86.1', '"value": NaN')


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(hash_of_something_else, "config_hash"), (of_another_schema, "schema_version: 3"), (with_nan, "finite number")],
)
def test_an_unusable_record_is_named_and_the_others_are_compared(
    tmp_path: Path, damage: Callable[[str], str], reason: str
) -> None:
    first, second = folder(tmp_path / "a", good(BEFORE)), folder(tmp_path / "b", good(BEFORE))
    broken = second / good(BEFORE)[-1].path
    broken.write_text(damage(text := broken.read_text()))
    assert broken.read_text() != text
    report = compare_results(first, second, Margins())
    assert report.exit_code() == 3
    (finding,) = (f for f in report.findings if f.outcome == "missing")
    assert "good/seed-2.json" in finding.cell
    assert reason in finding.reason
    assert any(f.outcome == "pass" for f in report.findings)


def test_an_unusable_file_is_one_finding(tmp_path: Path) -> None:
    before = export(folder(tmp_path / "a", good([85.0])), {"Conv": 2})
    after = export(folder(tmp_path / "b", good([85.0])), {"Conv": 2})
    files = [*after.glob("timings/**/*.json"), *after.glob("exports/**/*.json"), after / good([85.0])[-1].path]
    for path in files:
        path.write_text("{}")
    report = compare_results(before, after, Margins())
    cells = [f.cell for f in report.findings if f.outcome == "missing"]
    assert sorted(cells) == sorted(str(path.relative_to(after)) for path in files)


def test_welchs_interval_is_that_of_scipy() -> None:
    a, b = [3.0, 4.5, 5.2, 4.1], [2.0, 2.2, 6.0]
    interval, reference = unpaired_difference(a, b), stats.ttest_ind(a, b, equal_var=False)
    ends = reference.confidence_interval(0.95)
    assert (interval.mean - interval.half_width, interval.mean + interval.half_width) == pytest.approx(
        (ends.low, ends.high)
    )
    assert interval.p == pytest.approx(reference.pvalue)


def by_compare_results(before: Sequence[float], after: Sequence[float], root: Path) -> str:
    return finding_of(compared(root, good(before), good(after)), "accuracy").outcome


def check(comparator: Callable[..., str], root: Path) -> None:
    """A comparator detects a change of 5 points in both directions equally often, and claims none without a change."""
    rng, outcomes = random.Random(0), {}
    for change in (-5.0, 0.0, 5.0):
        sides = [[[rng.gauss(mean, 0.7) for _ in range(5)] for mean in (85, 85 + change)] for _ in range(20)]
        outcomes[change] = [comparator(*side, root / f"{change}-{i}") for i, side in enumerate(sides)]
    worse, better = outcomes[-5.0].count("regressed"), outcomes[5.0].count("improved")
    assert min(worse, better) >= 15
    assert abs(worse - better) <= 4
    assert outcomes[0.0].count("regressed") + outcomes[0.0].count("improved") <= 1


def test_changes_under_noise_are_detected_in_both_directions(tmp_path: Path) -> None:
    check(by_compare_results, tmp_path)


@pytest.mark.parametrize("always", ["pass", "regressed", "improved"])
def test_a_comparator_with_a_constant_answer_is_detected(tmp_path: Path, always: str) -> None:
    with pytest.raises(AssertionError):
        check(lambda *_: always, tmp_path)
