"""What tuning chose, as tables: one for each pair on a terminal, and one of all pairs in a file; all trials as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from distillbench.bench.analysis.series import Estimate
from distillbench.bench.machine.environment import revision
from distillbench.bench.report.formatting import estimate_text, heading
from distillbench.bench.report.table import Cell, Column, Field, Row, Table, cells, columns, words
from distillbench.bench.run.choice import Decision
from distillbench.bench.run.trials import Budget, listed
from distillbench.bench.statistics import Interval
from distillbench.bench.store.configurations import SCRATCH, plain
from distillbench.bench.store.records import Record
from distillbench.common.errors import UserError
from distillbench.methods.base import Method

CAPTION = (
    "validation split; differences ± 95% interval, or factors [95% interval], over seeds, paired; the default stays "
    "where that of the best has 0, or the factor 1, unless the best is significantly better than scratch and it is not"
)
FILE = "trials.csv"
"""In a results folder: every trial, a row for each seed."""
COLUMNS = ("task", "pair", "method", "trial", "seed", "seed_for", "chosen", "metric", "value", "failure")
"""Of that file, before those of hyperparameters."""
DIGITS = 7


def table(decisions: Sequence[Decision], budget: Budget) -> Table:
    """All decisions as one table, a row for each pair and method; its data are the trials, a row for each seed."""
    about: list[Field[Decision]] = [
        (words("task"), lambda decision: Cell(decision.tuning.key[0])),
        (words("pair"), lambda decision: Cell(decision.tuning.key[1])),
        METHOD,
        (Column("trials"), lambda decision: Cell(str(len(decision.tuning.trials)))),
        (words("metric"), lambda decision: Cell(_metric(decision))),
    ]
    return Table(
        "",
        columns([*about, *OUTCOME]),
        tuple(Row(cells([*about, *OUTCOME], decision)) for decision in decisions),
        CAPTION,
        tuple(_notes(decisions, budget)),
        data=tuple(row for decision in decisions for row in _trials(decision, budget)),
        digits=DIGITS,
    )


def pair_tables(decisions: Sequence[Decision], budget: Budget) -> list[Table]:
    """A table for each pair, whose title says what all of its rows share."""
    pairs, notes = dict.fromkeys(decision.tuning.key[:2] for decision in decisions), tuple(_notes(decisions, budget))
    return [_pair_table([d for d in decisions if d.tuning.key[:2] == pair], notes) for pair in pairs]


def _pair_table(decisions: Sequence[Decision], notes: tuple[str, ...]) -> Table:
    title = f"{'/'.join(decisions[0].tuning.key[:2])}: {_metric(decisions[0])}, validation split"
    fields = [METHOD, *OUTCOME]
    return Table(title, columns(fields), tuple(Row(cells(fields, d)) for d in decisions), CAPTION, notes)


def origin(suite: str, budget: Budget, checked: Sequence[Decision] = ()) -> str:
    """How a file of chosen values came to be. checked: the decisions, where their trials were made with other code."""
    command = f"distillbench tune {suite} --trials {budget.trials}{' --spot-check' if checked else ''}"
    made = sorted({record.revision for decision in checked for record in decision.records})
    trials = f" from trials of {', '.join(map(_short, made))}" if checked else ""
    seeds = listed(budget.all_seeds)
    return f"Written by `{command}` at revision {_short(revision())}{trials}, seeds {seeds}: not by hand."


def _short(code: str) -> str:
    commit, dash, changed = code.partition("-")
    return f"{commit[:12]}{dash}{changed}"


# -- notes --------------------------------------------------------------------------------------------------------


def _notes(decisions: Sequence[Decision], budget: Budget) -> Iterator[str]:
    yield (
        f"budget of each row: {budget.trials} trials with seeds {listed(budget.seeds)}, by whose mean the best is "
        f"picked; the best and the default with seeds {listed(budget.confirm)}, by which they are compared with each "
        "other and with scratch as chosen here"
    )
    yield from _on_spaces(decisions)
    yield from _on_recipes(decisions)
    yield (
        "a choice that is worse than scratch by the same recipe gives way to the best of default, best and smallest "
        "weight that is not"
    )
    edges = sum(bool(decision.tuning.at_boundary(decision.chosen)) for decision in decisions)
    yield f"at the boundary of what is searched: {edges} of {len(decisions)} choices"


def _on_spaces(decisions: Sequence[Decision]) -> Iterator[str]:
    """What is searched, and for which methods."""
    methods: dict[str, dict[str, None]] = {}
    for tuning in (decision.tuning for decision in decisions):
        text = ", ".join(f"{name} {search}" for name, search in tuning.space.items()) or "nothing"
        methods.setdefault(text, {})[tuning.label] = None
    yield "searched: " + "; ".join(f"{', '.join(labels)}: {text}" for text, labels in methods.items())


def _on_recipes(decisions: Sequence[Decision]) -> Iterator[str]:
    """Who trains by a recipe of its own, and where there is no scratch to compare with."""
    methods = {decision.tuning.label: decision.tuning.trials[0] for decision in decisions}
    own = [label for label, method in methods.items() if type(method).recipe is not Method.recipe]
    if own:
        yield f"trained by the pair's recipe with what is chosen here: {', '.join(own)}; all others by the pair's own"
    alone = [d.tuning.label for d in decisions if d.confirmed and not d.to_scratch and d.tuning.label != SCRATCH]
    if alone:
        names = ", ".join(dict.fromkeys(alone))
        yield f"not compared with scratch, which is not among the methods, or failed: {names}"


# -- cells --------------------------------------------------------------------------------------------------------


def _chosen(decision: Decision) -> str:
    return ", ".join(f"{name} {plain(value)}" for name, value in decision.values.items()) or "default"


def _metric(decision: Decision) -> str:
    """'accuracy ↑ (%)'; without direction and unit where every trial failed."""
    name = next((record.primary_metric for record in decision.records), "")
    return heading(name, decision.metric) if decision.metric else name.replace("_", " ")


def _number(decision: Decision, value: float | None) -> str:
    return "" if value is None or decision.metric is None else f"{value:.{decision.metric.decimals}f}"


def _difference(decision: Decision, difference: Interval | None) -> str:
    if difference is None or decision.metric is None:
        return ""
    estimate = Estimate(difference, difference, 0, decision.metric.compared)
    return estimate_text(estimate, decision.metric, signed=True)


def _to_scratch(decision: Decision, number: int | None) -> str:
    return "" if number is None else _difference(decision, decision.to_scratch.get(number))


def _other(decision: Decision) -> int | None:
    """The best trial where it is not the default."""
    return decision.best or None


def _note(decision: Decision) -> str:
    notes = list(decision.notes)
    if decision.chosen not in (0, decision.best):
        notes.insert(1, f"smallest weight − scratch {_to_scratch(decision, decision.chosen)}")
    return "; ".join(notes)


METHOD: Field[Decision] = (words("method", header=True), lambda decision: Cell(decision.tuning.key[2]))
OUTCOME: tuple[Field[Decision], ...] = (
    (Column("default"), lambda decision: Cell(_number(decision, decision.mean(0)))),
    (Column("best"), lambda decision: Cell(_number(decision, decision.mean(_other(decision))))),
    (Column("best − default"), lambda decision: Cell(_difference(decision, decision.difference))),
    (Column("default − scratch"), lambda decision: Cell(_to_scratch(decision, 0))),
    (Column("best − scratch"), lambda decision: Cell(_to_scratch(decision, _other(decision)))),
    (words("chosen"), lambda decision: Cell(_chosen(decision))),
    (words("note"), lambda decision: Cell(_note(decision))),
)


# -- all trials ---------------------------------------------------------------------------------------------------


def _trials(decision: Decision, budget: Budget) -> Iterator[Mapping[str, Any]]:
    """A row for each trial and seed."""
    for number, by_seed in sorted(decision.results.items()):
        settings = {f"hyperparameters.{name}": value for name, value in decision.tuning.settings(number).items()}
        for seed, record in sorted(by_seed.items()):
            cell = (*decision.tuning.key, number, seed, "picking" if seed in budget.seeds else "confirming")
            yield dict(zip(COLUMNS, (*cell, number == decision.chosen, *_outcome(record)), strict=True)) | settings


def _outcome(record: Record) -> tuple[str, float | None, str]:
    value = record.metrics[record.primary_metric].value if record.failure is None else None
    return record.primary_metric, value, record.failure.reason if record.failure else ""


def read_trials(path: Path) -> pd.DataFrame:
    """Read every trial of a suite's tuning, as ``distillbench tune`` wrote them.

    Args:
        path: Of the file.

    Returns:
        A row for each trial and seed: ``COLUMNS``, then a column ``hyperparameters.NAME`` for each that was searched,
        NaN where it is not the method's, or has no value.

    Raises:
        UserError: It is not such a file.
    """
    try:
        frame = pd.read_csv(path, dtype={"failure": str}, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise UserError(f"cannot be read as trials ({error})", path) from error
    if missing := [name for name in COLUMNS if name not in frame]:
        raise UserError(f"holds no trials (no column {missing[0]!r})", path)
    return frame.fillna({"failure": ""})
