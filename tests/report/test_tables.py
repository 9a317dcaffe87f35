"""Tables from records written by hand: every rule of the table, against a golden file."""

from __future__ import annotations

import csv as csv_module
import json
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from distillbench.bench.analysis.rows import Summary
from distillbench.bench.analysis.summary import summarise
from distillbench.bench.report.summaries import tables
from distillbench.bench.report.terminal import terminal
from distillbench.bench.report.writers import as_json, latex, markdown
from distillbench.bench.report.writers import csv as as_csv
from distillbench.bench.store.manifest import ExpectedCell
from distillbench.bench.store.records import Record
from distillbench.bench.store.timings import Condition
from support.paths import GOLDEN
from support.records import EXPECTED, STUDENTS, config_of, record, records, rows, timing


@pytest.mark.parametrize(("name", "write"), [("table.md", markdown), ("table.tex", latex)])
def test_the_golden_table(name: str, write: Any) -> None:
    assert write(tables(summarise(records(), EXPECTED, timings=[timing(records())]))) == (GOLDEN / name).read_text()


def test_gap_recovered_is_the_part_of_the_way_to_the_teacher() -> None:
    results = rows(records())
    assert results["good"]["gap_recovered"] == pytest.approx((86.1 - 81.0) / (90.0 - 81.0))
    assert results["scratch"]["gap_recovered"] is None


@pytest.mark.parametrize("teacher", [81.5, 81.0, 60.0])
def test_no_gap_is_printed_where_the_teacher_does_not_beat_scratch_beyond_noise(teacher: float) -> None:
    # Trap: a teacher may be worse than its student; a fraction of that way means nothing.
    assert rows(records(teacher))["good"]["gap_recovered"] is None


def test_only_a_student_that_beats_all_others_outside_the_interval_is_best() -> None:
    assert [name for name, row in rows(records()).items() if row["best"]] == ["good"]
    close = [r for r in records() if r.label != "good"]
    assert not any(row["best"] for row in rows(close).values())


def with_controls(**values: list[float]) -> list[Record]:
    """The usual records, and controls of three seeds by name."""
    return records() + [record("student", label, s, v) for label, of in values.items() for s, v in enumerate(of)]


def summary_of(records: list[Record], expected: list[ExpectedCell] | None = None) -> Summary:
    (summary,) = summarise(records, expected or [])
    return summary


def test_controls_stand_below_the_teacher_and_above_the_methods_in_a_section_of_their_own() -> None:
    made = with_controls(random_teacher=[70.0, 71.0, 72.0], scratch_long=[84.0, 85.0, 86.0])
    (table,) = tables([summary_of(made)])
    sections = [[row.cells[0].text for row in section] for section in table.sections()]
    assert sections == [
        ["teacher"],
        ["scratch", "scratch_long", "random_teacher"],
        ["broken", "good", "noise"],
        ["nearest centroid"],
    ]
    text = markdown([table])
    assert [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| *")] == [
        "*controls:*",
        "*methods:*",
        "*baselines:*",
    ]
    assert latex([table]).count("\\midrule") == 4
    console = Console(width=120)
    with console.capture() as capture:
        console.print(terminal([table], 120))
    lines = capture.get().splitlines()
    rules = [i for i, line in enumerate(lines) if line.startswith("──")]
    assert [lines[i + 1].split()[0] for i in rules] == ["teacher", "scratch", "broken", "nearest"]


def test_a_control_that_is_best_has_no_mark_and_takes_none_from_the_best_method() -> None:
    made = with_controls(label_smoothing=[95.0, 97.2, 96.1])
    found = rows(made)
    assert [name for name, row in found.items() if row["best"]] == ["good"]
    assert [name for name, row in found.items() if row["control"]] == ["scratch", "label_smoothing"]
    assert "**96.10" not in markdown(tables([summary_of(made)]))


def test_the_controls_that_the_best_method_does_not_beat_are_named() -> None:
    def note(**controls: list[float]) -> list[str]:
        return [note for note in summary_of(with_controls(**controls)).notes if "the best method" in note]

    better, equal, worse = [90.0, 92.2, 91.1], [84.0, 88.2, 86.1], [75.0, 77.0, 76.0]
    first = "cnn_mlp: the best method, good, is not significantly better than the control"
    assert note(label_smoothing=worse) == []  # nor is scratch named, whose difference has a column
    assert note(label_smoothing=better) == [f"{first} label_smoothing"]
    assert note(label_smoothing=worse, hard_labels=equal, self_teacher=better) == [
        f"{first}s hard_labels and self_teacher"
    ]
    lone = [r for r in with_controls(label_smoothing=better) if r.label not in ("good", "noise", "broken")]
    assert not any("the best method" in note for note in summary_of(lone).notes)


def test_a_control_without_a_seed_in_common_is_not_compared() -> None:
    others = [record("student", "label_smoothing", seed, 95.0) for seed in (7, 8, 9)]
    assert not any("the best method" in note for note in summary_of(records() + others).notes)


def test_of_very_many_controls_some_are_named() -> None:
    many = [
        record(
            "student", "hard_labels", seed, value, config_of("student", "hard_labels", seed, hyperparameters={"a": i})
        )
        for i in range(30)
        for seed, value in enumerate([95.0, 97.2, 96.1])
    ]
    (note,) = (note for note in summary_of(records() + many).notes if "the best method" in note)
    assert note.endswith("hard_labels (a 9) and 20 more")


def test_lower_is_better_for_the_controls_too() -> None:
    made = []
    for r in with_controls(label_smoothing=[70.0, 72.2, 71.1], hard_labels=[90.0, 92.2, 91.1]):
        flipped = {k: m.model_copy(update={"direction": "lower", "value": 100 - m.value}) for k, m in r.metrics.items()}
        made.append(r.model_copy(update={"metrics": flipped}))
    assert any(note.endswith("than the control hard_labels") for note in summary_of(made).notes)


LABELS = "needs labels; gan has none"


def undefined(label: str, pair: str = "cnn_mlp", reason: str = LABELS, control: bool = True) -> ExpectedCell:
    return ExpectedCell("classification", pair, "student", label, 0, reason, control)


def test_what_is_not_defined_has_a_row_of_dashes_and_its_reason_beneath() -> None:
    (table,) = tables([summary_of(records(), [*EXPECTED, undefined("label_smoothing")])])
    row = next(row for row in table.rows if row.cells[0].text == "label_smoothing")
    assert {cell.text for cell in row.cells[1:]} == {"–"}
    assert row.heading == "controls"
    assert f"label_smoothing is not defined: {LABELS}" in table.notes
    data = {entry["method"]: entry for entry in json.loads(as_json([table]))[0]["rows"]}
    assert data["label_smoothing"]["undefined"] == LABELS
    assert (data["label_smoothing"]["missing"], data["label_smoothing"].get("accuracy")) == (0, None)
    assert data["good"]["undefined"] is None
    found = {entry["method"]: entry for entry in csv_module.DictReader(as_csv([table]).splitlines())}
    assert (found["label_smoothing"]["undefined"], found["good"]["undefined"]) == (LABELS, "")


def test_a_reason_that_holds_on_some_pairs_alone_names_them() -> None:
    other = [r.model_copy(update={"pair": "other"}) for r in records()]
    expected = [undefined("hard_labels"), undefined("hard_labels", "other"), undefined("scratch_long", "other", "why")]
    notes = summary_of([*records(), *other], expected).notes
    assert [note for note in notes if "not defined" in note] == [
        f"hard_labels is not defined: {LABELS}",
        "other: scratch_long is not defined: why",
    ]


def test_records_of_another_configuration_stand_where_a_method_is_no_longer_defined() -> None:
    summary = summary_of(with_controls(hard_labels=[84.0, 85.0, 86.0]), [undefined("hard_labels")])
    (row,) = (row for row in summary.rows if row.name == "hard_labels")
    assert (row.finished, row.undefined) == (3, "")
    assert not any("not defined" in note for note in summary.notes)


def test_what_is_missing_and_never_began_stands_in_its_section() -> None:
    expected = [ExpectedCell("classification", "cnn_mlp", "student", "hard_labels", s, control=True) for s in (0, 1)]
    summary = summary_of(records(), expected)
    assert [row.name for row in summary.rows if row.section == "control"] == ["scratch", "hard_labels"]
    assert [row.missing for row in summary.rows if row.name == "hard_labels"] == [2]


def test_differences_are_paired_by_seed_over_the_seeds_that_both_have() -> None:
    results = rows([r for r in records() if (r.label, r.seed) != ("scratch", 2)])
    assert results["good"]["difference"] == pytest.approx((5.0 + 5.2) / 2)


def test_what_failed_and_what_is_missing_is_counted() -> None:
    broken = rows(records())["broken"]
    assert (broken["finished"], broken["failed"], broken["missing"]) == (0, 1, 2)


def with_examples(originals: list[Record], spread: float, rng: np.random.Generator) -> list[Record]:
    """The same records with per-example results whose means are their metrics; examples differ by ``spread``."""
    shared = rng.normal(0, spread, 40)
    names = tuple(f"example {i}" for i in range(40))
    copies = []
    for r in originals:
        own = rng.normal(0, spread, 40)
        examples = {
            m: tuple((v.value + shared - shared.mean() + own - own.mean()).tolist()) for m, v in r.metrics.items()
        }
        copies.append(r.model_copy(update={"examples": examples, "example_names": names} if examples else {}))
    return copies


def test_intervals_cover_test_examples_where_there_are_any() -> None:
    rng = np.random.default_rng(0)
    over_seeds, over_both = rows(records())["good"], rows(with_examples(records(), 20.0, rng))["good"]
    assert over_both["accuracy"] == pytest.approx(over_seeds["accuracy"])
    assert over_both["accuracy_half_width_seeds_only"] == pytest.approx(over_seeds["accuracy_half_width"])
    assert over_both["accuracy_half_width"] > 1.3 * over_seeds["accuracy_half_width"]
    # What all rows find hard or easy cancels in a difference; what is each one's own does not.
    shared = rows(with_examples(records(), 0.0, rng))["good"]
    assert shared["difference_half_width"] == pytest.approx(over_seeds["difference_half_width"])
    assert over_both["difference_half_width"] > shared["difference_half_width"]
    (summary,) = summarise(with_examples(records(), 20.0, rng))
    assert "intervals cover other seeds and other test examples than these 40: accuracy, nll" in summary.notes
    (summary,) = summarise(records())
    assert "intervals cover other seeds alone (there are no per-example results): accuracy, nll" in summary.notes


def test_the_teacher_and_baselines_have_an_interval_over_examples_alone() -> None:
    results = rows(with_examples(records(), 5.0, np.random.default_rng(0)))
    assert results["teacher"]["accuracy_half_width"] > 0.5
    assert results["nearest centroid"]["accuracy_half_width"] > 0.5
    assert results["teacher"]["accuracy_half_width_seeds_only"] is None


def test_the_gap_has_an_interval_and_is_blank_where_the_difference_may_be_zero() -> None:
    results = rows(records())
    assert results["good"]["gap_recovered_low"] < 0.56 < results["good"]["gap_recovered_high"]
    assert results["noise"]["difference"] is not None
    assert results["noise"]["gap_recovered"] is None
    text = markdown(tables(summarise(records())))
    assert "57% [" in text


def test_a_loss_recovers_no_gap() -> None:
    worse = records() + [record("student", "worse", i, v - 5 + i / 10) for i, v in enumerate(STUDENTS["scratch"])]
    assert rows(worse)["worse"]["gap_recovered"] < 0
    (line,) = (line for line in markdown(tables(summarise(worse))).splitlines() if line.startswith("| worse"))
    assert "%" not in line


def test_a_mark_is_given_after_correction_for_the_number_of_methods() -> None:
    """One difference among many that alone would be called significant is not."""
    scratch = [80.0, 82.0, 81.0, 80.5, 81.5]
    barely = [v + d for v, d in zip(scratch, (0.2, 1.4, 0.9, 1.3, 0.4), strict=True)]
    alone = [record("student", "scratch", i, v) for i, v in enumerate(scratch)]
    alone += [record("student", "barely", i, v) for i, v in enumerate(barely)]
    assert rows(alone)["barely"]["difference_p_holm"] < 0.05
    many = alone + [
        record("student", f"nothing {k}", i, v + (-1) ** (i + k) * 0.3) for k in range(5) for i, v in enumerate(scratch)
    ]
    assert rows(many)["barely"]["difference_p_holm"] > 0.05
    assert "+0.84 ± 0.66* |" in markdown(tables(summarise(alone)))
    assert "+0.84 ± 0.66 |" in markdown(tables(summarise(many)))


def test_the_hyperparameters_of_each_method_stand_beneath_the_table() -> None:
    changed = [
        r.model_copy(update={"config": r.config | {"hyperparameters": {"weight": 0.5, "alpha": None, "mutual": True}}})
        if r.label == "good"
        else r
        for r in records()
    ]
    assert "- cnn_mlp: good mutual true, weight 0.5\n" in markdown(tables(summarise(changed)))


def test_hyperparameters_at_their_defaults_are_named_only_where_tuning_sets_them() -> None:
    values = {"weight": 1.0, "temperature": 4.0, "weight_schedule": "linear", "task_weight": 1.0, "alpha": None}
    changed = [
        r.model_copy(update={"config": r.config | {"hyperparameters": values}, "defaults": ("task_weight", "alpha")})
        if r.label == "good"
        else r
        for r in records()
    ]
    (note,) = (note for note in summary_of(changed).notes if note.startswith("cnn_mlp: good"))
    assert note == "cnn_mlp: good temperature 4, weight 1, weight_schedule linear"


@pytest.mark.parametrize(
    ("fitted", "text"),
    [
        ({"good": "half"}, "good is fitted to one half of the validation data and tuned on the other"),
        (
            {"good": "half", "noise": "half"},
            "good and noise are fitted to one half of the validation data and tuned on the other",
        ),
        ({"good": "whole"}, "good is fitted to the validation data, on which methods are tuned as well"),
    ],
)
def test_what_was_fitted_to_validation_data_is_said(fitted: dict[str, str], text: str) -> None:
    changed = [r.model_copy(update={"fitted": fitted.get(r.label, "")}) for r in records()]
    assert [note for note in summary_of(changed).notes if "fitted" in note] == [text]


def test_lower_is_better_where_the_metric_says_so() -> None:
    changed = []
    for r in records():
        flipped = {k: m.model_copy(update={"direction": "lower", "value": 100 - m.value}) for k, m in r.metrics.items()}
        changed.append(r.model_copy(update={"metrics": flipped}))
    assert rows(changed)["good"]["best"]
    assert rows(changed)["good"]["gap_recovered"] == pytest.approx((86.1 - 81.0) / (90.0 - 81.0))


def test_a_speedup_is_that_of_the_pairs_with_its_interval_over_launches() -> None:
    (summary,) = summarise(records(), timings=[timing(records())])
    by_name = {row.name: row for row in summary.rows}
    speedup = by_name["good"].speedup
    assert speedup is not None
    assert speedup.value == pytest.approx(10)
    assert speedup.low < 9.9 < 10.1 < speedup.high
    assert (by_name["good"].latency, by_name["teacher"].latency) == pytest.approx((2e-5, 2e-4))
    assert by_name["nearest centroid"].speedup is None


@pytest.mark.parametrize(
    "other",
    [
        {"student": "0" * 64},
        {"condition": Condition(batch_size=64)},
        {"condition": Condition(backend="onnxruntime")},
        {"condition": Condition(threads=2)},
        {"condition": Condition(device="cuda")},
        {"launches": (), "unavailable": "no"},
    ],
    ids=lambda other: "-".join(map(str, other)),
)
def test_the_time_of_something_else_is_not_in_the_table(other: dict[str, Any]) -> None:
    (summary,) = summarise(records(), timings=[timing(records(), **other)])
    assert {row.latency for row in summary.rows if row.kind == "student"} == {None}


def test_a_student_beside_another_teacher_has_a_latency_and_no_speedup() -> None:
    (summary,) = summarise(records(), timings=[timing(records(), teacher="0" * 64)])
    by_name = {row.name: row for row in summary.rows}
    assert (by_name["good"].latency, by_name["good"].speedup) == (pytest.approx(2e-5), None)
    assert by_name["teacher"].latency is None
