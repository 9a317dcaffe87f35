"""Tuning: an equal budget for every method, a choice that can be trusted, and no look at the test split."""

from __future__ import annotations

import inspect
import shutil
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillbench.bench.analysis.results import summaries
from distillbench.bench.commands.options import numbers
from distillbench.bench.commands.tune import tune
from distillbench.bench.report.trials import table
from distillbench.bench.report.writers import markdown
from distillbench.bench.run import runner
from distillbench.bench.run.jobs import Job
from distillbench.bench.run.plan import Plan, plan
from distillbench.bench.run.trials import Tuning, points, trials_of, tunings
from distillbench.bench.run.tune import Budget, Decision, as_toml, decide, decisions
from distillbench.bench.store.records import Failure, MetricValue, Store
from distillbench.bench.suite.cells import Cell
from distillbench.bench.suite.resolve import Suite, load
from distillbench.bench.workers.executor import JobEnd
from distillbench.common.errors import UserError
from distillbench.methods.base import Choice, LogUniform, Method
from distillbench.methods.cross_model import CrossModel
from distillbench.methods.mimic import Mimic
from distillbench.methods.temperature import Temperature
from distillbench.tasks.base import Evaluation
from distillbench.tasks.classification import Classification
from support.processes import Run
from support.records import config_of, record

# -- what is tried ------------------------------------------------------------------------------------------------

ranges = st.tuples(st.floats(1e-6, 1e3), st.floats(1.01, 1e6)).map(lambda ends: LogUniform(ends[0], ends[0] * ends[1]))
choices = st.lists(st.integers(), min_size=1, unique=True).map(lambda values: Choice(tuple(values)))
spaces = st.dictionaries(st.text(min_size=1, max_size=3), ranges | choices, min_size=1, max_size=4)


@given(spaces, st.integers(0, 2**62), st.integers(1, 20))
def test_points_are_in_the_space_and_more_of_them_change_none(space: Any, stream: int, count: int) -> None:
    few, many = (list(islice(points(space, stream), n)) for n in (count, count + 5))
    assert few == many[:count]
    for point in many:
        assert point.keys() == space.keys()
        for name, its in space.items():
            assert point[name] in its.values if isinstance(its, Choice) else its.low <= point[name] <= its.high


@given(st.integers(0, 2**62))
def test_a_few_points_leave_no_wide_gap(stream: int) -> None:
    values = sorted(point["w"] for point in islice(points({"w": LogUniform(0.001, 1000)}, stream), 8))
    ends = [0.001, *values, 1000]
    assert max(high / low for low, high in pairwise(ends)) < 10**2


def test_every_method_has_as_many_trials_and_the_default_is_the_first() -> None:
    suite = load("smoke")
    found = {tuning.key: tuning for tuning in tunings(suite, 6)}
    assert len(found) == 7 * 6
    for (_, _, label), tuning in found.items():
        assert len(tuning.trials) == (1 if label == "scratch" else 6), label
        assert tuning.trials[0] == type(tuning.trials[0])()
        assert len({str(trial) for trial in tuning.trials}) == len(tuning.trials)
    seeds = (100, 101)
    cells = [str(cell) for tuning in found.values() for cell in tuning.cells(range(len(tuning.trials)), seeds)]
    assert len(set(cells)) == len(cells) == 7 * (5 * 6 + 1) * 2


def test_a_trial_does_not_depend_on_who_else_is_tuned_or_how_many_there_are() -> None:
    whole = {tuning.key: tuning.trials for tuning in tunings(load("smoke"), 4)}
    alone = {t.key: t.trials for t in tunings(load("smoke", tasks=["vae"], methods=["scratch", "temperature"]), 7)}
    key = ("vae", "mlp_256_16", "temperature")
    assert alone[key][:4] == whole[key]
    assert whole[key][1:] != whole["denoising", "dncnn", "temperature"][1:]


def test_what_a_suite_sets_anywhere_is_the_same_in_all_trials() -> None:
    of_all, of_pair = {"temperature": {"temperature": 2.0}}, {"mimic": {"weight": 0.5}}
    tasks = {"classification": {"pair": {"cnn_mlp": {"hyperparameters": of_pair}}}}
    found = {t.label: t.trials for t in tunings(load(TINY | {"hyperparameters": of_all, "tasks": tasks}), 4)}
    assert {trial.temperature for trial in found["temperature"]} == {2.0}  # type: ignore[attr-defined]
    assert [trial.weight for trial in found["mimic"]] == [0.5]
    assert len(found["random_teacher"]) == len(found["temperature"]) == 4


class Flagged(Method):
    weight: float = 1.0
    flag: Annotated[bool, Choice((False, True))] = False


def test_what_the_suite_sets_is_not_searched() -> None:
    (pair,) = load("smoke", tasks=["vae"]).pairs
    found = trials_of(pair, "temperature", Temperature(weight=0.5), 5)
    assert {trial.weight for trial in found} == {0.5}  # type: ignore[attr-defined]
    assert len({trial.temperature for trial in found}) == 5  # type: ignore[attr-defined]
    assert trials_of(pair, "mimic", Mimic(weight=0.5), 5) == (Mimic(weight=0.5),)
    assert {trial.mutual for trial in trials_of(pair, "cross_model", CrossModel(), 5)} == {False}  # type: ignore[attr-defined]


def test_a_space_that_is_too_small_or_does_not_fit_is_refused() -> None:
    (pair,) = load("smoke", tasks=["vae"]).pairs
    assert len(trials_of(pair, "flagged", Flagged(), 2)) == 2
    with pytest.raises(UserError, match=r"--trials: 3 is out of range .flagged has only 2 different settings to try"):
        trials_of(pair, "flagged", Flagged(), 3)
    with pytest.raises(UserError, match=r"vae/mlp_256_16/temperature: weight .*: alpha replaces weight"):
        trials_of(pair, "temperature", Temperature(alpha=0.5), 3)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (Budget(trials=1), "--trials: 1 is out of range"),
        (Budget(seeds=()), "--seeds: none"),
        (Budget(seeds=(1,)), "--seeds: 1: reported by smoke"),
        (Budget(confirm=(0, 101)), "--confirm: 0: reported by smoke"),
        (Budget(confirm=(101,)), "--confirm: 101 .allowed: 2 or more"),
        (Budget(seeds=(100, 101), confirm=(101, 102)), "--confirm: 101: the best trial is picked by it"),
    ],
)
def test_a_budget_that_cannot_be_trusted_is_refused(budget: Budget, message: str) -> None:
    with pytest.raises(UserError, match=message):
        budget.check(load("smoke"))


def test_the_commands_budget_is_the_default_one() -> None:
    given = {name: parameter.default for name, parameter in inspect.signature(tune).parameters.items()}
    assert Budget(given["trials"], *(tuple(numbers(name, [given[name]])) for name in ("seeds", "confirm"))) == Budget()


# -- what is chosen -----------------------------------------------------------------------------------------------

BUDGET = Budget(3, seeds=(100,), confirm=(101, 102, 103, 104))
NOISE = (0.1, -0.2, 0.15, -0.05)
Direction = Literal["higher", "lower"]


def decided(
    values: Mapping[int, Sequence[float | None]],
    direction: Direction = "higher",
    label: str = "mimic",
    spread: Mapping[int, float] | None = None,
) -> Decision:
    """values: {trial: the primary metric with seeds 100, 101, ...}; None is a failure. Weights 1, 0.1 and 9.

    spread: how far each of two examples is from the primary metric, by trial; None: there are no examples.
    """
    (pair,) = load("smoke", tasks=["classification"]).pairs
    tuning = Tuning(pair, label, (Mimic(), Mimic(weight=0.1), Mimic(weight=9.0)))

    def one(trial: int, seed: int, value: float | None) -> Any:
        config = config_of("student", "mimic", seed, hyperparameters={"weight": tuning.trials[trial].weight})
        if value is None:
            return record("student", "mimic", seed, None, config, trial=trial, failure=Failure(reason="boom"))
        metrics = {"accuracy": MetricValue(value=value, direction=direction, unit="%")}
        examples: dict[str, Any] = {}
        if spread is not None:
            examples = {
                "example_names": ("a", "b"),
                "examples": {"accuracy": (value - spread[trial], value + spread[trial])},
            }
        return record("student", "mimic", seed, value, config, trial=trial, metrics=metrics, **examples)

    results = {
        trial: {100 + i: one(trial, 100 + i, value) for i, value in enumerate(row)} for trial, row in values.items()
    }
    return decide(tuning, results, BUDGET)


def around(first: float, value: float) -> list[float]:
    return [first, *(value + noise for noise in NOISE)]


def test_a_clear_winner_is_chosen() -> None:
    found = decided({0: [80.0, 80.0, 80.0, 80.0, 80.0], 1: around(83.0, 82.0), 2: [70.0]})
    assert (found.best, found.chosen) == (1, 1)
    assert found.values == {"weight": 0.1}
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(2.0)
    assert found.notes == ()


def test_seeds_decide_where_two_photographs_differ_and_all_seeds_agree() -> None:
    """An interval over two photographs as well would leave every default, however harmful."""
    values = {0: [80.0, 80.0, 80.0, 80.0, 80.0], 1: around(83.0, 82.0), 2: [70.0]}
    found = decided(values, spread={0: 5.0, 1: 6.5, 2: 5.0})
    assert found.chosen == 1
    assert found.difference is not None
    assert found.difference.half_width < 1


def test_where_lower_is_better_the_lower_is_chosen() -> None:
    found = decided({0: [80.0, 80.0, 80.0, 80.0, 80.0], 1: around(79.0, 78.0), 2: [90.0]}, "lower")
    assert found.chosen == 1
    found = decided({0: [80.0, 80.0, 80.0, 80.0, 80.0], 1: [81.0], 2: [90.0]}, "lower")
    assert (found.best, found.chosen, found.notes) == (0, 0, ("no trial is better",))


def test_what_is_not_distinguishable_from_the_default_stays_the_default() -> None:
    found = decided({0: [80.0, 80.0, 80.0, 80.0, 80.0], 1: around(83.0, 80.1), 2: [70.0]})
    assert (found.best, found.chosen, found.values) == (1, 0, {})
    assert found.notes == ("weight 0.1: may be no better",)


def test_what_was_picked_by_luck_and_is_worse_is_not_chosen() -> None:
    found = decided({0: [80.0, 80.0, 80.0, 80.0, 80.0], 1: around(83.0, 75.0), 2: [70.0]})
    assert found.chosen == 0
    assert found.notes == ("weight 0.1: worse with other seeds",)


def test_a_choice_at_the_search_boundary_is_reported() -> None:
    found = decided({0: [80.0, 80.0, 80.0, 80.0, 80.0], 1: [70.0], 2: around(83.0, 82.0)})
    assert found.chosen == 2
    assert found.notes == ("weight: at the search boundary (0.003 to 10)",)


def test_a_trial_that_failed_has_lost() -> None:
    assert decided({0: [80.0], 1: [None], 2: [70.0]}).notes == ("no trial is better", "1 of 3 trials failed")
    late = decided({0: [80.0] * 5, 1: [83.0, 82.0, None, 82.0, 82.0], 2: [70.0]})
    assert late.chosen == 0
    assert late.notes == ("weight 0.1: the best, but failed with a confirming seed", "1 of 3 trials failed")
    default = decided({0: [None] * 5, 1: around(83.0, 82.0), 2: [70.0]})
    assert (default.chosen, default.notes[0]) == (1, "the default failed")
    nothing = decided({0: [None], 1: [None], 2: [None]})
    assert (nothing.best, nothing.chosen) == (None, 0)


def test_chosen_values_are_a_file_that_a_suite_includes() -> None:
    better = decided({0: [80.0, 80.0, 80.0, 80.0, 80.0], 1: around(83.0, 82.0), 2: [70.0]})
    same = decided({0: [80.0], 1: [70.0], 2: [70.0]}, label="logistic")
    dotted = replace(better, tuning=replace(better.tuning, pair=replace(better.tuning.pair, pair="a.b")))
    text = as_toml([better, same, dotted], "Written by a test.")
    assert text.startswith("# Written by a test.\n")
    values = {"hyperparameters": {"mimic": {"weight": 0.1}}}
    assert tomllib.loads(text) == {"tasks": {"classification": {"pair": {"cnn_mlp": values, "a.b": values}}}}
    text = markdown([table([better, same], BUDGET)])
    row = (
        "classification",
        "cnn_mlp",
        "mimic",
        "3",
        "accuracy ↑ (%)",
        "80.00",
        "82.00",
        "+2.00 ± 0.25",
        "weight 0.1",
        "",
    )
    assert row in [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in text.splitlines()]


# -- on a suite ---------------------------------------------------------------------------------------------------

TINY = {
    "name": "tiny",
    "seeds": [0, 1],
    "methods": ["scratch", "mimic", "random_teacher", "temperature"],
    "steps": 4,
    "tasks": {"classification": {"student": {"network": {"hidden": [16]}}}},
}
SMALL = Budget(3, seeds=(100, 101), confirm=(102, 103))


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Jobs run here, one after another; those that ran."""
    ran: list[Job] = []

    class SerialExecutor:
        def __init__(self, workers: int) -> None: ...

        def run(self, jobs: Sequence[Job], execute: Callable[..., Any]) -> Iterator[JobEnd[Any]]:
            for job in jobs:
                ran.append(job)
                yield JobEnd(job.id, execute(job, lambda step, steps: None), None)

    monkeypatch.setattr("distillbench.bench.run.runner.LocalExecutor", SerialExecutor)
    return ran


def tuned(suite: Suite, out: Path, budget: Budget = SMALL) -> list[Decision]:
    def run(cells: Sequence[Cell]) -> Plan:
        return runner.run(plan(suite, out, cells=cells), workers=1)

    return decisions(suite, out, budget, run)


def test_trials_of_a_seed_train_in_one_group_and_none_sees_the_test_split(
    tmp_path: Path, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = []
    original = Classification.evaluate

    def evaluate(self: Classification, model: Any, teacher: Any, split: Any = "test") -> Evaluation:
        splits.append(split)
        return original(self, model, teacher, split)

    monkeypatch.setattr(Classification, "evaluate", evaluate)
    found = tuned(load(TINY), tmp_path)
    assert set(splits) == {"validation"}
    assert [d.tuning.label for d in found] == ["mimic", "random_teacher", "temperature"]
    groups = [job for job in jobs if job.kind == "group"]
    assert [job.cells[0].seed for job in groups][:2] == [100, 101]
    assert len({(job.pair, job.cells[0].seed) for job in groups}) == len(groups) in (2, 4)
    assert [len(job.cells) for job in groups[:2]] == [3 * 3 + 1] * 2
    assert [job.kind for job in jobs].count("teacher") == 1
    for trial in Store(tmp_path):
        assert trial.split == "validation"
        assert trial.validation == {name: metric.value for name, metric in trial.metrics.items()}
        assert len(trial.examples["accuracy"]) == len(trial.example_names) > 1


def test_what_is_finished_is_not_run_again_and_more_trials_keep_the_earlier(tmp_path: Path, jobs: list[Job]) -> None:
    suite = load(TINY)
    first = tuned(suite, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("records/**/*.json")}
    jobs.clear()
    assert tuned(suite, tmp_path) == first
    assert jobs == []
    tuned(suite, tmp_path, replace(SMALL, trials=4))
    assert {path: path.read_bytes() for path in before} == before
    trials = {cell.trial for job in jobs for cell in job.cells if cell.seed in SMALL.seeds}
    assert trials == {3}


def test_tables_show_each_trial_with_its_items_and_no_test_figure(tmp_path: Path, jobs: list[Job]) -> None:
    tuned(load(TINY), tmp_path)
    (validation,) = summaries(tmp_path, "validation")
    assert len({row.name for row in validation.rows}) == len(validation.rows) == 3 * 3 + 1
    assert sum(row.name.startswith("temperature (temperature ") for row in validation.rows) == 3
    assert all(row.metrics["accuracy"].examples > 1 for row in validation.rows)
    assert all(row.difference is not None for row in validation.rows if row.name != "scratch")
    (test,) = summaries(tmp_path, "test")
    assert not any(row.metrics for row in test.rows)
    assert "trials are measured on the validation split alone: --split validation" in test.notes


def test_the_command(cli: Run, tmp_path: Path) -> None:
    suite = tmp_path / "tiny.toml"
    suite.write_text('methods = ["scratch", "mimic"]\nsteps = 4\ntuned = "tiny.tuned.toml"\n[tasks.classification]\n')
    options = (
        "--trials",
        2,
        "--seeds",
        100,
        "--confirm",
        "101,102",
        "--out",
        tmp_path / "out",
        "--cache",
        tmp_path / "cache",
    )
    done = cli("tune", suite, *options, "--output", tmp_path / "tiny.tuned.toml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("tiny: 3 cells, 0 finished")
    text = (tmp_path / "tiny.tuned.toml").read_text()
    assert text.startswith("# Written by `distillbench tune tiny --trials 2` at revision ")
    assert ", seeds 100, 101, 102: not by hand.\n" in text
    assert "| classification | cnn_mlp | mimic" in (tmp_path / "out" / "trials.md").read_text()
    # What was chosen before has no part in choosing: the default is that of the method.
    (tmp_path / "tiny.tuned.toml").write_text(
        "[tasks.classification.pair.cnn_mlp.hyperparameters.mimic]\nweight = 0.25\n"
    )
    again = cli("tune", suite, *options)
    assert "3 cells, 3 finished: nothing to do" in again.stdout
    assert (tmp_path / "out" / "tiny.tuned.toml").read_text() == text
    (suite_,) = load(suite).entries
    assert suite_.methods["mimic"] == Mimic(weight=0.25)
    refused = cli("tune", suite, *options, "--confirm", "x")
    assert refused.returncode == 2
    assert refused.stderr.startswith("distillbench: --confirm: invalid seed 'x' (")
    assert len(refused.stderr.splitlines()) == 1


def test_a_trial_is_no_cell_of_a_run_and_a_copy_is_no_trial(tmp_path: Path, jobs: list[Job]) -> None:
    tuned(load(TINY), tmp_path)
    assert not plan(load(TINY, seeds=SMALL.seeds), tmp_path).finished
    folder = tmp_path / "records/classification/cnn_mlp/mimic"
    count = len(Store(tmp_path).scan().records)
    shutil.copytree(folder / "trial-1", folder / "trial-9")
    found = Store(tmp_path).scan()
    assert len(found.records) == count
    assert all("trial-1/seed-" in reason for reason in found.problems.values())
    assert found.problems


def test_nothing_is_chosen_by_images_that_are_trained_on(tmp_path: Path) -> None:
    message = "tiny: tasks.classification.train_on_validation: true, and nothing can be chosen by images"
    with pytest.raises(UserError, match=message):
        tuned(load(TINY, ["tasks.classification.train_on_validation=true"]), tmp_path)


def test_a_suite_without_anything_to_tune_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="tiny: methods: nothing to tune in scratch"):
        tuned(load(TINY, methods=["scratch"]), tmp_path)
