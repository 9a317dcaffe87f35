"""What tuning chooses: each branch of the rule, on records written by hand."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import pytest

from distillbench.bench.report.trials import table
from distillbench.bench.report.writers import markdown
from distillbench.bench.run.choice import Decision, decide
from distillbench.bench.run.trials import Budget, Tuning
from distillbench.bench.run.tune import as_toml
from distillbench.bench.store.records import Failure, MetricValue
from distillbench.bench.suite.resolve import load
from distillbench.methods.base import Method
from distillbench.methods.mimic import Mimic
from distillbench.methods.scratch import Scratch
from support.records import config_of, record

BUDGET = Budget(3, seeds=(100,), confirm=(101, 102, 103, 104))
NOISE = (0.1, -0.2, 0.15, -0.05)
Direction = Literal["higher", "lower"]
MIMICS = (Mimic(), Mimic(weight=0.1), Mimic(weight=9.0))
SCRATCHES = (Scratch(), Scratch(rate_factor=2.0), Scratch(rate_factor=0.5))


def decided(
    values: Mapping[int, Sequence[float | None]],
    direction: Direction = "higher",
    label: str = "mimic",
    spread: Mapping[int, float] | None = None,
    scratch: Decision | None = None,
    trials: tuple[Method, ...] = MIMICS,
) -> Decision:
    """values: {trial: the primary metric with seeds 100, 101, ...}; None is a failure. Weights 1, 0.1 and 9.

    spread: how far each of two examples is from the primary metric, by trial; None: there are no examples.
    """
    (pair,) = load({"tasks": {"classification": {}}}).pairs
    tuning = Tuning(pair, label, trials)

    def one(trial: int, seed: int, value: float | None) -> Any:
        config = config_of("student", label, seed, hyperparameters=trials[trial].model_dump(mode="json"))
        if value is None:
            return record("student", label, seed, None, config, trial=trial, failure=Failure(reason="boom"))
        metrics = {"accuracy": MetricValue(value=value, direction=direction, unit="%")}
        examples: dict[str, Any] = {}
        if spread is not None:
            examples = {
                "example_names": ("a", "b"),
                "examples": {"accuracy": (value - spread[trial], value + spread[trial])},
            }
        return record("student", label, seed, value, config, trial=trial, metrics=metrics, **examples)

    results = {
        trial: {100 + i: one(trial, 100 + i, value) for i, value in enumerate(row)} for trial, row in values.items()
    }
    return decide(tuning, results, BUDGET, scratch)


def around(first: float, value: float) -> list[float]:
    """A value with the picking seed, and noise around another one with the confirming seeds."""
    return [first, *(value + noise for noise in NOISE)]


def level(value: float) -> list[float]:
    """The same value with every seed."""
    return [value] * 5


def scratch_of(plain: Sequence[float | None], tuned: Sequence[float | None] = (0.0,)) -> Decision:
    return decided({0: plain, 1: tuned, 2: [0.0]}, label="scratch", trials=SCRATCHES)


def cells_of(*decisions: Decision) -> list[dict[str, str]]:
    """The rows of the table, by heading."""
    lines = [line for line in markdown([table(decisions, BUDGET)]).splitlines() if line.startswith("|")]
    heading, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    return [dict(zip(heading, row, strict=True)) for row in rows]


# -- the best trial or the default ----------------------------------------------------------------------------------


def test_a_clear_winner_is_chosen() -> None:
    found = decided({0: level(80.0), 1: around(83.0, 82.0), 2: [70.0]})
    assert (found.best, found.chosen) == (1, 1)
    assert found.values == {"weight": 0.1}
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(2.0)
    assert found.notes == ()


def test_seeds_decide_where_two_photographs_differ_and_all_seeds_agree() -> None:
    """An interval over two photographs as well would leave every default, however harmful."""
    values = {0: level(80.0), 1: around(83.0, 82.0), 2: [70.0]}
    found = decided(values, spread={0: 5.0, 1: 6.5, 2: 5.0})
    assert found.chosen == 1
    assert found.difference is not None
    assert found.difference.half_width < 1


def test_where_lower_is_better_the_lower_is_chosen() -> None:
    found = decided({0: level(80.0), 1: around(79.0, 78.0), 2: [90.0]}, "lower")
    assert found.chosen == 1
    found = decided({0: level(80.0), 1: [81.0], 2: [90.0]}, "lower")
    assert (found.best, found.chosen, found.notes) == (0, 0, ("the default is the best",))


def test_what_is_not_distinguishable_from_the_default_stays_the_default() -> None:
    found = decided({0: level(80.0), 1: around(83.0, 80.1), 2: [70.0]})
    assert (found.best, found.chosen, found.values) == (1, 0, {})
    assert found.notes == ("weight 0.1: may be no better",)


def test_what_was_picked_by_luck_and_is_worse_is_not_chosen() -> None:
    found = decided({0: level(80.0), 1: around(83.0, 75.0), 2: [70.0]})
    assert found.chosen == 0
    assert found.notes == ("weight 0.1: worse with other seeds",)


def test_a_choice_at_the_search_boundary_is_reported() -> None:
    far = (Mimic(), Mimic(weight=0.1), Mimic(weight=64.0))
    found = decided({0: level(80.0), 1: [70.0], 2: around(83.0, 82.0)}, trials=far)
    assert found.chosen == 2
    assert found.notes == ("weight: at the search boundary (0.003 to 100)",)
    text = markdown([table([found, decided({0: level(80.0), 1: [70.0], 2: [70.0]})], BUDGET)])
    assert "- at the boundary of what is searched: 1 of 2 choices\n" in text


def test_a_trial_that_failed_has_lost() -> None:
    assert decided({0: level(80.0), 1: [None], 2: [70.0]}).notes == (
        "the default is the best",
        "1 of 3 trials failed",
    )
    late = decided({0: level(80.0), 1: [83.0, 82.0, None, 82.0, 82.0], 2: [70.0]})
    assert late.chosen == 0
    assert late.notes == ("weight 0.1: the best, but failed with a confirming seed", "1 of 3 trials failed")
    default = decided({0: [None] * 5, 1: around(83.0, 82.0), 2: [70.0]})
    assert (default.chosen, default.notes[0]) == (1, "the default failed")
    nothing = decided({0: [None], 1: [None], 2: [None]})
    assert (nothing.best, nothing.chosen) == (None, 0)


def test_what_has_nothing_to_search_is_measured_beside_the_others() -> None:
    fixed = decided({0: around(0.0, 80.0)}, trials=(Mimic(weight=0.5),), scratch=scratch_of(level(82.0)))
    assert fixed.notes == (
        "nothing to search",
        "no setting helps here: all that was compared is worse than scratch",
    )


# -- held to scratch -----------------------------------------------------------------------------------------------


def test_what_is_better_than_scratch_needs_no_note() -> None:
    found = decided({0: level(80.0), 1: around(83.0, 82.0), 2: [70.0]}, scratch=scratch_of(level(81.0)))
    assert (found.chosen, found.notes) == (1, ())
    assert found.to_scratch[1].mean == pytest.approx(1.0)
    assert found.to_scratch[0].mean == pytest.approx(-1.0)


def test_a_best_that_is_better_than_scratch_is_chosen_over_a_default_that_is_not() -> None:
    """A default that diverges with one seed makes its difference to any other trial as wide as itself."""
    diverging = [75.0, 84.0, 84.2, 10.0, 84.1]
    values = {0: diverging, 1: around(86.0, 86.0), 2: [70.0]}
    found = decided(values, scratch=scratch_of(level(80.0)))
    assert (found.best, found.chosen) == (1, 1)
    assert found.notes == ("better than scratch, which the default is not",)
    alone = decided(values)
    assert (alone.chosen, alone.notes) == (0, ("weight 0.1: may be no better",))
    no_help = decided(values, scratch=scratch_of(around(86.0, 86.0)))
    assert (no_help.chosen, no_help.notes[0]) == (0, "weight 0.1: may be no better")


def test_where_no_trial_is_better_than_scratch_no_weight_helps() -> None:
    found = decided({0: level(75.0), 1: around(83.0, 80.1), 2: [70.0]}, scratch=scratch_of(level(80.0)))
    assert (found.chosen, found.notes) == (1, ("no weight helps here",))
    (row,) = cells_of(found)
    assert (row["default − scratch"], row["best − scratch"]) == ("-5.00 ± 0.00", "+0.10 ± 0.25")


def test_a_default_that_is_worse_than_scratch_gives_way_to_a_best_that_may_be_no_better_than_it() -> None:
    wide = [83.0, 79.0, 80.5, 79.5, 81.0]
    found = decided({0: around(75.0, 79.0), 1: wide, 2: [70.0]}, scratch=scratch_of(level(80.0)))
    assert (found.best, found.chosen) == (1, 1)
    assert found.notes == ("default: worse than scratch", "no weight helps here")
    alone = decided({0: around(75.0, 79.0), 1: wide, 2: [70.0]})
    assert (alone.chosen, alone.notes) == (0, ("weight 0.1: may be no better",))


def test_where_both_are_worse_than_scratch_the_smallest_weight_takes_their_place_if_it_is_not() -> None:
    strong = (Mimic(), Mimic(weight=0.004), Mimic(weight=9.0))
    values = {0: around(75.0, 78.0), 1: [70.0], 2: around(83.0, 79.0)}
    scratch = scratch_of(level(80.0))
    before = decided(values, scratch=scratch, trials=strong)
    assert (before.chosen, before.harmful) == (2, {0, 2})
    assert before.notes == ("no weight helps here: all that was compared is worse than scratch",)
    after = decided(values | {1: around(70.0, 79.9)}, scratch=scratch, trials=strong)
    assert (after.best, after.chosen) == (2, 1)
    assert after.notes[:2] == ("weight 9: worse than scratch", "no weight helps here")
    (row,) = cells_of(after)
    assert (row["chosen"], row["best − scratch"]) == ("weight 0.004", "-1.00 ± 0.25")
    assert "; smallest weight − scratch -0.10 ± 0.25; " in row["note"]


def test_where_even_the_smallest_weight_is_worse_than_scratch_the_choice_stays_and_this_is_said() -> None:
    values = {0: around(75.0, 78.0), 1: around(70.0, 79.0), 2: [60.0]}
    found = decided(values, scratch=scratch_of(level(80.0)))
    assert found.harmful == {0, 1}
    assert (found.best, found.chosen) == (0, 0)
    assert found.notes == (
        "the default is the best",
        "no weight helps here: all that was compared is worse than scratch",
    )


def test_worse_is_higher_where_lower_is_better() -> None:
    scratch = decided({0: level(5.0), 1: [9.0], 2: [9.0]}, "lower", "scratch", trials=SCRATCHES)
    values = {0: around(3.0, 6.0), 1: around(4.0, 5.0), 2: [9.0]}
    found = decided(values, "lower", scratch=scratch)
    assert (found.harmful, found.chosen) == ({0}, 1)
    assert found.notes == ("default: worse than scratch", "no weight helps here")


def test_a_method_is_not_blamed_for_a_recipe_that_scratch_alone_may_tune() -> None:
    """Weight 0 is scratch by the pair's recipe: what is worse than scratch by another one may still do no harm."""
    scratch = scratch_of(level(80.0), around(90.0, 85.0))
    assert (scratch.chosen, scratch.notes) == (1, ("the others keep the pair's recipe",))
    same = decided({0: around(80.0, 80.0), 1: [70.0], 2: [70.0]}, scratch=scratch)
    assert (same.chosen, same.harmful) == (0, frozenset())
    assert same.notes == (
        "the default is the best",
        "no weight helps here: all that was compared is worse than scratch as tuned",
    )
    assert same.to_scratch[0].mean == pytest.approx(-5.0)
    for value, outcome in ((82.0, "worse"), (85.0, "not better")):
        better = decided({0: around(82.0, value), 1: [70.0], 2: [70.0]}, scratch=scratch)
        assert better.notes[1] == f"better than scratch by the pair's recipe, {outcome} than it as tuned"


def test_without_scratch_nothing_is_said_about_it_but_that_it_is_missing() -> None:
    values = {0: level(80.0), 1: around(83.0, 82.0), 2: [70.0]}
    for scratch in (None, scratch_of([80.0, None, 80.0, 80.0, 80.0])):
        found = decided(values, scratch=scratch)
        assert (found.chosen, found.to_scratch, found.notes) == (1, {}, ())
        text = markdown([table([found], BUDGET)])
        assert "- not compared with scratch, which is not among the methods, or failed: mimic\n" in text


# -- as text -------------------------------------------------------------------------------------------------------


def test_the_table_says_what_each_may_search_and_by_which_recipe_it_trains() -> None:
    scratch = scratch_of(level(80.0))
    mimic = decided({0: level(80.0), 1: around(83.0, 82.0), 2: [70.0]}, scratch=scratch)
    text = markdown([table([scratch, mimic], BUDGET)])
    for line in (
        "- searched: scratch: rate_factor 0.25 to 4, weight_decay 1e-05 to 0.3; mimic: weight 0.003 to 100\n",
        "- trained by the pair's recipe with what is chosen here: scratch; all others by the pair's own\n",
        "- budget of each row: 3 trials with seeds 100, by whose mean the best is picked; the best and the default "
        "with seeds 101, 102, 103, 104, ",
    ):
        assert line in text


def test_chosen_values_are_a_file_that_a_suite_includes() -> None:
    better = decided({0: level(80.0), 1: around(83.0, 82.0), 2: [70.0]})
    same = decided({0: level(80.0), 1: [70.0], 2: [70.0]}, label="logistic")
    dotted = replace(better, tuning=replace(better.tuning, pair=replace(better.tuning.pair, pair="a.b")))
    text = as_toml([better, same, dotted], "Written by a test.")
    assert text.startswith("# Written by a test.\n")
    values = {"hyperparameters": {"mimic": {"weight": 0.1}}}
    tables = tomllib.loads(text)
    assert tables["tasks"] == {"classification": {"pair": {"cnn_mlp": values, "a.b": values}}}
    assert tables["digests"]["classification"].keys() == {"cnn_mlp", "a.b"}
    assert tables["digests"]["classification"]["cnn_mlp"].keys() == {"mimic"}
    assert as_toml([same], "Written by a test.") == "# Written by a test.\n"
    row, _ = cells_of(better, same)
    assert list(row.values()) == [
        *("classification", "cnn_mlp", "mimic", "3", "accuracy ↑ (%)"),
        *("80.00", "82.00", "+2.00 ± 0.25", "", "", "weight 0.1", ""),
    ]
