"""What tuning tries: an equal budget for every method, spread over its search space."""

from __future__ import annotations

import inspect
from itertools import islice, pairwise
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from distillbench.bench.commands.options import numbers
from distillbench.bench.commands.tune import tune
from distillbench.bench.run.trials import Budget, Tuning, points, trials_of, tunings
from distillbench.bench.suite.resolve import load
from distillbench.common.errors import UserError
from distillbench.methods.base import Choice, LogUniform, Method, search_space
from distillbench.methods.cross_model import CrossModel
from distillbench.methods.label_smoothing import LabelSmoothing
from distillbench.methods.mimic import Mimic
from distillbench.methods.scratch import Scratch
from distillbench.methods.temperature import Temperature

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


def widest_gap(space: dict[str, LogUniform], name: str, stream: int) -> float:
    """By what factor neighbouring trials, or the ends of the range, are apart; of eight the first is the default."""
    search = space[name]
    values = sorted(point[name] for point in islice(points(space, stream), 7))
    return max(high / low for low, high in pairwise([search.low, *values, search.high]))


@given(st.integers(0, 2**62))
def test_eight_trials_leave_no_wide_gap_in_the_ranges_of_the_methods(stream: int) -> None:
    for method in (Mimic, Temperature, Scratch, LabelSmoothing):
        space: Any = search_space(method)
        for name, search in space.items():
            allowed = (search.high / search.low) ** (0.25 if len(space) == 1 else 0.28)
            assert widest_gap(space, name, stream) < allowed
    # With the temperature beside it the weight, over more than four decades, is the better covered of the two.
    assert widest_gap(search_space(Temperature), "weight", stream) < 6  # type: ignore[arg-type]


def test_every_method_has_as_many_trials_and_the_default_is_the_first() -> None:
    methods = ["scratch", "scratch_long", "label_smoothing", "hard_labels", "self_teacher", "mimic", "cross_model"]
    suite = load("quick", tasks=["classification", "vae"], methods=methods, tuned=False)
    found = {tuning.key: tuning for tuning in tunings(suite, 6)}
    assert {label for _, _, label in found} == set(methods)
    for (_, _, label), tuning in found.items():
        assert len(tuning.trials) == 6, label
        assert tuning.trials[0] == type(tuning.trials[0])()
        assert len({str(trial) for trial in tuning.trials}) == len(tuning.trials)
    seeds = (100, 101)
    cells = [str(cell) for tuning in found.values() for cell in tuning.cells(range(len(tuning.trials)), seeds)]
    assert len(set(cells)) == len(cells) == len(found) * 6 * 2


def test_a_trial_does_not_depend_on_who_else_is_tuned_or_how_many_there_are() -> None:
    suite = {"tasks": {"vae": {}, "denoising": {}}}
    whole = {tuning.key: tuning.trials for tuning in tunings(load(suite), 4)}
    alone = {t.key: t.trials for t in tunings(load(suite, tasks=["vae"], methods=["scratch", "temperature"]), 7)}
    key = ("vae", "mlp_256_16", "temperature")
    assert alone[key][:4] == whole[key]
    assert whole[key][1:] != whole["denoising", "dncnn", "temperature"][1:]


def test_what_a_suite_sets_anywhere_is_the_same_in_all_trials() -> None:
    of_all, of_pair = {"temperature": {"temperature": 2.0}}, {"mimic": {"weight": 0.5}}
    tasks = {"classification": {"pair": {"cnn_mlp": {"hyperparameters": of_pair}}}}
    suite = {"methods": ["scratch", "mimic", "random_teacher", "temperature"], "tasks": tasks}
    found = {t.label: t.trials for t in tunings(load(suite | {"hyperparameters": of_all}), 4)}
    assert {trial.temperature for trial in found["temperature"]} == {2.0}  # type: ignore[attr-defined]
    assert [trial.weight for trial in found["mimic"]] == [0.5]
    assert len(found["random_teacher"]) == len(found["temperature"]) == 4


class Flagged(Method):
    weight: float = 1.0
    flag: Annotated[bool, Choice((False, True))] = False


class Narrow(Temperature):
    weight: Annotated[float, LogUniform(0.5, 2)] = Field(1.0, gt=0)
    temperature: float = 1.0


def test_a_range_of_the_methods_own_replaces_the_one_that_it_inherits() -> None:
    assert search_space(Narrow) == {"weight": LogUniform(0.5, 2)}
    assert search_space(Mimic) == {"weight": LogUniform(0.003, 100)}
    (pair,) = load({"tasks": {"vae": {}}}).pairs
    tuning = Tuning(pair, "narrow", (Narrow(), Narrow(weight=0.52), Narrow(weight=1.4)))
    assert [list(tuning.at_boundary(number)) for number in range(3)] == [[], ["weight"], []]
    assert all(0.5 <= trial.weight <= 2 for trial in trials_of(pair, "narrow", Narrow(), 8))
    inherited = Tuning(pair, "mimic", (Mimic(), Mimic(weight=0.52), Mimic(weight=0.0084), Mimic(weight=36.0)))
    assert [list(inherited.at_boundary(number)) for number in range(4)] == [[], [], ["weight"], ["weight"]]


def test_the_mildest_trial_is_that_of_the_smallest_weight() -> None:
    (pair,) = load({"tasks": {"vae": {}}}).pairs
    assert Tuning(pair, "mimic", (Mimic(), Mimic(weight=9.0), Mimic(weight=0.1))).mildest == 2
    assert Tuning(pair, "mimic", (Mimic(weight=0.5),)).mildest == 0
    assert Tuning(pair, "scratch", (Scratch(), Scratch(rate_factor=0.5))).mildest == 0


def test_what_the_suite_sets_is_not_searched() -> None:
    (pair,) = load({"tasks": {"vae": {}}}).pairs
    found = trials_of(pair, "temperature", Temperature(weight=0.5), 5)
    assert {trial.weight for trial in found} == {0.5}  # type: ignore[attr-defined]
    assert len({trial.temperature for trial in found}) == 5  # type: ignore[attr-defined]
    assert trials_of(pair, "mimic", Mimic(weight=0.5), 5) == (Mimic(weight=0.5),)
    assert {trial.mutual for trial in trials_of(pair, "cross_model", CrossModel(), 5)} == {False}  # type: ignore[attr-defined]


def test_a_space_that_is_too_small_or_does_not_fit_is_refused() -> None:
    (pair,) = load({"tasks": {"vae": {}}}).pairs
    assert len(trials_of(pair, "flagged", Flagged(), 2)) == 2
    with pytest.raises(UserError, match=r"--trials: 3 is out of range .flagged has only 2 different settings to try"):
        trials_of(pair, "flagged", Flagged(), 3)
    with pytest.raises(UserError, match=r"vae/mlp_256_16/temperature: weight .*: alpha replaces weight"):
        trials_of(pair, "temperature", Temperature(alpha=0.5), 3)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (Budget(trials=1), "--trials: 1 is out of range .allowed: 2 to 1000"),
        (Budget(trials=5_000_000), "--trials: 5000000 is out of range .allowed: 2 to 1000"),
        (Budget(seeds=()), "--seeds: none"),
        (Budget(seeds=(1,)), "--seeds: 1: reported by mine"),
        (Budget(confirm=(0, 101)), "--confirm: 0: reported by mine"),
        (Budget(confirm=(101,)), "--confirm: 101 .allowed: 2 or more"),
        (Budget(seeds=(100, 101), confirm=(101, 102)), "--confirm: 101: the best trial is picked by it"),
    ],
)
def test_a_budget_that_cannot_be_trusted_is_refused(budget: Budget, message: str) -> None:
    with pytest.raises(UserError, match=message):
        budget.check(load({"name": "mine", "seeds": [0, 1], "tasks": {"vae": {}}}))


def test_the_commands_budget_is_the_default_one() -> None:
    given = {name: parameter.default for name, parameter in inspect.signature(tune).parameters.items()}
    assert Budget(given["trials"], *(tuple(numbers(name, [given[name]])) for name in ("seeds", "confirm"))) == Budget()
