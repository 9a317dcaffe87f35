"""What tuning chose, as tables: one for each pair on a terminal, and one of all pairs in a file."""

from __future__ import annotations

from collections.abc import Sequence

from distillbench.bench.analysis.series import Estimate
from distillbench.bench.machine.environment import revision
from distillbench.bench.report.formatting import estimate_text, heading
from distillbench.bench.report.table import Cell, Column, Field, Row, Table, cells, columns, words
from distillbench.bench.run.tune import Budget, Decision
from distillbench.bench.store.configurations import plain

CAPTION = (
    "validation split; best − default ± 95% interval, over seeds, paired; the default stays where the interval has 0"
)


def table(decisions: Sequence[Decision], budget: Budget) -> Table:
    """All decisions as one table, a row for each pair and method."""
    about: list[Field[Decision]] = [
        (words("task"), lambda decision: Cell(decision.tuning.key[0])),
        (words("pair"), lambda decision: Cell(decision.tuning.key[1])),
        METHOD,
        (Column("trials"), lambda decision: Cell(str(len(decision.tuning.trials)))),
        (words("metric"), lambda decision: Cell(_metric(decision))),
    ]
    return _table("", [*about, *OUTCOME], decisions, budget)


def pair_tables(decisions: Sequence[Decision], budget: Budget) -> list[Table]:
    """A table for each pair, whose title says what all of its rows share."""
    pairs = dict.fromkeys(decision.tuning.key[:2] for decision in decisions)
    return [_pair_table([d for d in decisions if d.tuning.key[:2] == pair], budget) for pair in pairs]


def _pair_table(decisions: Sequence[Decision], budget: Budget) -> Table:
    tuning = decisions[0].tuning
    metric, trials = _metric(decisions[0]), len(tuning.trials)
    title = f"{'/'.join(tuning.key[:2])}: {metric}, validation split, {trials} trials per method"
    return _table(title, [METHOD, *OUTCOME], decisions, budget)


def origin(suite: str, budget: Budget) -> str:
    """How a file of chosen values came to be."""
    seeds = ", ".join(map(str, (*budget.seeds, *budget.confirm)))
    commit, dash, changed = revision().partition("-")
    command, code = f"distillbench tune {suite} --trials {budget.trials}", f"{commit[:12]}{dash}{changed}"
    return f"Written by `{command}` at revision {code}, seeds {seeds}: not by hand."


def _table(title: str, fields: Sequence[Field[Decision]], decisions: Sequence[Decision], budget: Budget) -> Table:
    picking, confirming = (", ".join(map(str, seeds)) for seeds in (budget.seeds, budget.confirm))
    return Table(
        title,
        columns(fields),
        tuple(Row(cells(fields, decision)) for decision in decisions),
        CAPTION,
        (
            f"picked by seeds {picking}; compared with the default, where another trial was best, "
            f"with seeds {confirming}",
        ),
    )


def _chosen(decision: Decision) -> str:
    return ", ".join(f"{name} {plain(value)}" for name, value in decision.values.items()) or "default"


def _metric(decision: Decision) -> str:
    """'accuracy ↑ (%)'; without direction and unit where every trial failed."""
    name = decision.primary_metric
    return heading(name, decision.metric) if decision.metric else name.replace("_", " ")


def _number(decision: Decision, value: float | None) -> str:
    return "" if value is None or decision.metric is None else f"{value:.{decision.metric.decimals}f}"


def _difference(decision: Decision) -> str:
    if decision.difference is None or decision.metric is None:
        return ""
    estimate = Estimate(decision.difference, decision.difference, 0, decision.metric.compared)
    return estimate_text(estimate, decision.metric, signed=True)


METHOD: Field[Decision] = (words("method", header=True), lambda decision: Cell(decision.tuning.key[2]))
OUTCOME: tuple[Field[Decision], ...] = (
    (Column("default"), lambda decision: Cell(_number(decision, decision.default_value))),
    (Column("best"), lambda decision: Cell(_number(decision, decision.best_value))),
    (Column("best − default"), lambda decision: Cell(_difference(decision))),
    (words("chosen"), lambda decision: Cell(_chosen(decision))),
    (words("note"), lambda decision: Cell("; ".join(decision.notes))),
)
