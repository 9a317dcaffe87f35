"""What tuning found: a table on a terminal, and the same in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from distillbench.bench.machine.environment import revision
from distillbench.bench.report.tables import heading
from distillbench.bench.run.tune import Budget, Decision
from distillbench.bench.store.configurations import plain

CAPTION = (
    "validation split; best − default ± 95% interval, over seeds, paired; the default stays where the interval has 0"
)
NAMES = ("task", "pair", "method")
TEXTS = ("chosen", "note")


def frame(decisions: Sequence[Decision]) -> pd.DataFrame:
    """A row a decision, as a reader sees it."""
    return pd.DataFrame([_row(decision) for decision in decisions])


def _row(decision: Decision) -> dict[str, str]:
    task, pair, label = decision.tuning.key
    chosen = ", ".join(f"{name} {plain(value)}" for name, value in decision.values.items())
    return {
        "task": task,
        "pair": pair,
        "method": label,
        "trials": str(len(decision.tuning.trials)),
        "metric": _primary_metric(decision),
        "default": _number(decision, decision.default_value),
        "best": _number(decision, decision.best_value),
        "best − default": _difference(decision),
        "chosen": chosen or "default",
        "note": "; ".join(decision.notes),
    }


def _primary_metric(decision: Decision) -> str:
    """'accuracy ↑ (%)'; without direction and unit where no trial says them."""
    return (
        decision.primary_metric.replace("_", " ")
        if decision.metric is None
        else heading(decision.primary_metric, decision.metric)
    )


def _number(decision: Decision, value: float | None) -> str:
    return "" if value is None or decision.metric is None else f"{value:.{decision.metric.decimals}f}"


def _difference(decision: Decision) -> str:
    its, metric = decision.difference, decision.metric
    if its is None or metric is None:
        return ""
    mean = f"{its.mean:+.{metric.decimals}f}"
    return mean if math.isnan(its.half_width) else f"{mean} ± {its.half_width:.{metric.decimals}f}"


def seeds_note(budget: Budget) -> str:
    """Which seeds did what."""
    by, with_ = (", ".join(map(str, seeds)) for seeds in (budget.seeds, budget.confirm))
    return f"picked by seeds {by}; compared with the default, where another trial was best, with seeds {with_}"


def origin(suite: str, budget: Budget) -> str:
    """How a file of chosen values came to be."""
    seeds = ", ".join(map(str, (*budget.seeds, *budget.confirm)))
    commit, dash, changed = revision().partition("-")
    command, code = f"distillbench tune {suite} --trials {budget.trials}", f"{commit[:12]}{dash}{changed}"
    return f"Written by `{command}` at revision {code}, seeds {seeds}: not by hand."


def terminal(decisions: Sequence[Decision], budget: Budget) -> Group:
    """A table a pair; numbers are never cut, words are wrapped."""
    parts: list[RenderableType] = []
    whole = frame(decisions)
    for (task, pair), rows in whole.groupby(["task", "pair"], sort=False):
        first = rows.iloc[0]
        table = Table(
            title=f"{task}/{pair}: {first['metric']}, validation split, {first['trials']} trials a method",
            title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False,
        )  # fmt: skip
        shown = [column for column in whole.columns if column not in ("task", "pair", "metric", "trials")]
        for column in shown:
            text = column in (*NAMES, *TEXTS)
            table.add_column(column, justify="left" if text else "right", no_wrap=column not in TEXTS, overflow="fold")
        for _, row in rows.iterrows():
            table.add_row(*(row[column] for column in shown))
        parts.append(table)
    return Group(*parts, f"{CAPTION}; {seeds_note(budget)}")


def markdown(decisions: Sequence[Decision], budget: Budget) -> str:
    """One table, and what it means."""
    whole = frame(decisions)
    align = ["left" if column in (*NAMES, "metric", *TEXTS) else "right" for column in whole.columns]
    table = whole.to_markdown(index=False, colalign=align, disable_numparse=True)
    return f"{table}\n\n- {CAPTION}\n- {seeds_note(budget)}\n"
