"""Tune the methods of a suite: as many trials for each, on the validation split, with seeds that are never reported.

First all trials run with a few seeds, and the best one by its mean is picked; then that one and the default run with
other seeds, and the default stays unless these show a difference. Picking the best of many favours a lucky trial; so it
is judged by seeds that it was not picked by. Scratch is tuned alike, and what it chose is what the others are held to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import tomli_w

from distillbench.bench.machine.processor import same_processor
from distillbench.bench.run.choice import Decision, Results, decide, pick
from distillbench.bench.run.plan import Plan
from distillbench.bench.run.trials import Budget, Tuning, tunings
from distillbench.bench.store.configurations import DIGESTS, SCRATCH, differing, named
from distillbench.bench.store.records import Record, Store
from distillbench.bench.suite.cells import Cell
from distillbench.bench.suite.resolve import Suite
from distillbench.bench.suite.tuned import digests
from distillbench.common.errors import UserError

AllResults = Mapping[tuple[str, str, str], Results]
"""By the names of task, pair and method."""


def decisions(suite: Suite, out: Path, budget: Budget, run: Callable[[Sequence[Cell]], Plan]) -> list[Decision]:
    """Run the trials, then the best ones and the defaults with other seeds, and decide.

    Where a choice is worse than scratch by the same recipe, the smallest weight runs with these seeds as well.

    Args:
        suite: The suite.
        out: The results folder of the trials.
        budget: How many trials and which seeds.
        run: Makes the records of some cells that ``out`` lacks.

    Returns:
        One decision for each pair and method.

    Raises:
        UserError: The budget is not to be trusted, there is nothing to tune, a pair trains on what is chosen by, or a
            record was deleted meanwhile.
    """
    tuned = _tunings(suite, budget)
    cells = _trials(tuned, budget)
    run(cells)
    confirming = _confirming(tuned, _read(out, cells), budget)
    run(confirming)
    cells += confirming
    outcome = _decided(tuned, _read(out, cells), budget)
    milder = [cell for decision in outcome for cell in _milder(decision, budget)]
    if not milder:
        return outcome
    run(milder)
    return _decided(tuned, _read(out, [*cells, *milder]), budget)


def spot_checked(
    suite: Suite, out: Path, budget: Budget, run: Callable[[Sequence[Cell]], Sequence[Record]]
) -> list[Decision]:
    """Decide by trials that were made with other code, where one of each method comes out the same with today's.

    That is the chosen trial with the first seed. An edit that changes no result need not cost a tuning.

    Args:
        suite: The suite.
        out: The results folder of the trials.
        budget: How many trials and which seeds.
        run: Makes the records of some cells again, in another folder.

    Raises:
        UserError: The budget is not to be trusted, a trial is missing, was made with other settings or data, or comes
            out otherwise.
    """
    tuned = _tunings(suite, budget)
    everything = [cell for t in tuned for cell in t.cells(range(len(t.trials)), budget.all_seeds)]
    results = _found(out, everything)
    for cell in (*_trials(tuned, budget), *_confirming(tuned, results, budget)):
        if _of(cell, results) is None:
            raise UserError("is missing, and without it nothing can be checked (distillbench tune)", out / cell.path)
    for cell in everything:
        record = _of(cell, results)
        fields = [] if record is None else differing([record.config, cell.config])
        if other := [field for field in fields if field.rpartition(".")[2] not in DIGESTS]:
            raise UserError(f"was made with other {named(other)} (run distillbench tune again)", out / cell.path)
    outcome = _decided(tuned, results, budget)
    checked = [cell for d in outcome for cell in d.tuning.cells([d.chosen], budget.seeds[:1])]
    for cell, record in zip(checked, run(checked), strict=True):
        before = _of(cell, results)
        if before is not None and (problem := _difference(before, record)):
            raise UserError(problem, out / cell.path)
    return outcome


def _of(cell: Cell, results: AllResults) -> Record | None:
    return results.get(_key(cell), {}).get(cell.trial or 0, {}).get(cell.seed)


def _difference(before: Record, now: Record) -> str:
    """How the results of a trial that was made again differ; '' where they are the same to the bit."""
    first, second = before.reproducible(), now.reproducible()
    others = [n for n in first if n not in ("config", "config_hash", "failure") and first[n] != second[n]]
    if not others:
        return ""
    where = "" if same_processor(before.environment, now.environment) else ", and on another processor"
    return f"comes out otherwise with today's code{where}: {', '.join(others)} (run distillbench tune again)"


def expected(suite: Suite, out: Path, budget: Budget) -> list[Cell]:
    """Return about the cells that tuning makes: which trial is the best is not known before all have run.

    Args:
        suite: The suite.
        out: The results folder of the trials.
        budget: How many trials and which seeds.

    Raises:
        UserError: The budget is not to be trusted, or there is nothing to tune.
    """
    tuned = _tunings(suite, budget)
    cells = _trials(tuned, budget)
    return cells + _confirming(tuned, _found(out, cells), budget)


def _tunings(suite: Suite, budget: Budget) -> list[Tuning]:
    budget.check(suite)
    for pair in suite.pairs:
        if pair.settings.trains_on_validation:
            problem = "true, and nothing can be chosen by images that are trained on"
            raise UserError(problem, suite.name, f"tasks.{pair.task}.train_on_validation", allowed="false")
    tuned = tunings(suite, budget.trials)
    if not any(tuning.space for tuning in tuned):
        methods = ", ".join(suite.methods) or "a suite without methods"
        raise UserError(f"nothing to tune in {methods}", suite.name, "methods")
    return tuned


def _trials(tuned: Sequence[Tuning], budget: Budget) -> list[Cell]:
    return [cell for tuning in tuned for cell in tuning.cells(range(len(tuning.trials)), budget.seeds)]


def _confirming(tuned: Sequence[Tuning], results: AllResults, budget: Budget) -> list[Cell]:
    """Each method's best trial and its default, with other seeds; until all have run the last stands for the best."""
    cells: list[Cell] = []
    for tuning in tuned:
        its = results.get(tuning.key, {})
        complete = all(seed in its.get(number, {}) for number in range(len(tuning.trials)) for seed in budget.seeds)
        best = pick(tuning, its, budget.seeds) if complete else len(tuning.trials) - 1
        if best is not None:
            cells += tuning.cells(sorted({0, best}), budget.confirm)
    return cells


def _milder(decision: Decision, budget: Budget) -> list[Cell]:
    """The smallest weight, with the confirming seeds, where the choice is worse than scratch by the same recipe."""
    mildest = decision.tuning.mildest
    if decision.chosen not in decision.harmful or mildest in decision.confirmed:
        return []
    return decision.tuning.cells([mildest], budget.confirm)


def _decided(tuned: Sequence[Tuning], results: AllResults, budget: Budget) -> list[Decision]:
    scratch = {t.key[:2]: decide(t, results[t.key], budget) for t in tuned if t.label == SCRATCH}
    return [
        scratch[t.key[:2]] if t.label == SCRATCH else decide(t, results[t.key], budget, scratch.get(t.key[:2]))
        for t in tuned
    ]


def _read(out: Path, cells: Sequence[Cell]) -> AllResults:
    """The records of some cells, all of which must be there."""
    found = _found(out, cells)
    for cell in cells:
        if _of(cell, found) is None:
            raise UserError("was deleted during tuning (run distillbench tune again)", out / cell.path)
    return found


def _found(out: Path, cells: Sequence[Cell]) -> AllResults:
    """The records of some cells, as far as they are there and can be read."""
    store = Store(out)
    results: dict[tuple[str, str, str], dict[int, dict[int, Record]]] = {}
    for cell in cells:
        with suppress(UserError):
            if (record := store.find(cell.path)) is not None:
                results.setdefault(_key(cell), {}).setdefault(cell.trial or 0, {})[cell.seed] = record
    return results


def _key(cell: Cell) -> tuple[str, str, str]:
    return cell.pair.task, cell.pair.pair, cell.label


def as_toml(decisions: Sequence[Decision], origin: str) -> str:
    """Format the chosen values for a suite's ``tuned``, with digests of what they were chosen with.

    Defaults that stay are left out.

    Args:
        decisions: Of all pairs and methods.
        origin: How the file was made; its first line, as a comment.
    """
    tasks: dict[str, Any] = {}
    tuned_with: dict[str, Any] = {}
    for decision in decisions:
        if values := decision.values:
            tuning = decision.tuning
            pair = tasks.setdefault(tuning.key[0], {"pair": {}})["pair"].setdefault(tuning.key[1], {})
            pair.setdefault("hyperparameters", {})[tuning.label] = values
            now = digests(tuning.pair, tuning.trials[decision.chosen], values)
            pairs = tuned_with.setdefault(tuning.key[0], {}).setdefault(tuning.key[1], {})
            pairs[tuning.label] = now.model_dump(exclude_none=True)
    tables = {"tasks": tasks, "digests": tuned_with} if tasks else {}
    return f"# {origin}\n\n{tomli_w.dumps(tables)}" if tables else f"# {origin}\n"
