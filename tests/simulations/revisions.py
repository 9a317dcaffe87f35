"""How often ``compare --revisions`` errs, how often it finds what there is, and after how many launches.

    python tests/simulations/revisions.py

prints the tables of docs/ci.md. The rule is the command's own, on simulated launches. Every number comes from the
fixed SEED.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from itertools import product

import numpy as np
from coverage import markdown
from numpy.random import Generator
from numpy.typing import NDArray

from distillbench.bench.compare.decisions import LEAST_LAUNCHES, SIDES, Rule, Times, decide

Array = NDArray[np.float64]
Draw = Callable[[Generator, tuple[int, ...]], Array]

SEED = 0
RUNS = {1: 500, 6: 150}
"""By how many students."""
MARGIN = 0.01
MOST = 60
"""Launches until time is out: ten minutes, ten seconds each."""
CHANGES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)


def slower(chance: float, by: float, spread: float) -> Draw:
    """Return normal noise in which a process is slower by ``by`` with this chance, for as long as it lives."""
    return lambda rng, shape: spread * rng.normal(size=shape) + by * (rng.random(shape) < chance)


def lasting(rng: Generator, shape: tuple[int, ...]) -> Array:
    """Draw normal noise of 0.5 %, each launch correlated by 0.5 with the one before."""
    z = rng.normal(size=shape)
    for i in range(1, shape[-1]):
        z[..., i] = 0.5 * z[..., i - 1] + np.sqrt(0.75) * z[..., i]
    return 0.005 * z


# Of the logarithm of a process's time: what it draws once, and what is left of the noise of its rounds.
NOISE: dict[str, Draw] = {
    "normal, 0.5 %": lambda rng, shape: 0.005 * rng.normal(size=shape),
    "normal, 1 %": lambda rng, shape: 0.01 * rng.normal(size=shape),
    "one in ten slower by 4 %": slower(0.1, 0.04, 0.004),
    "half slower by 4 %": slower(0.5, 0.04, 0.002),
    "normal, 1 %, one in sixteen slower by 13 %": slower(1 / 16, 0.13, 0.01),
    "heavy tails": lambda rng, shape: 0.005 * rng.standard_t(2, size=shape),
    "lasting": lasting,
}


def run_to_decision(logs: Array, rule: Rule) -> tuple[str, int]:
    """Apply the rule to one student.

    Args:
        logs: The logarithms of the times of head, control and base, (3, launches).
        rule: The gate's.

    Returns:
        The outcome, and after how many launches.
    """
    head, control = (tuple(np.exp(logs[i] - logs[2]).tolist()) for i in (0, 1))
    for n in range(LEAST_LAUNCHES, MOST + 1):
        decision = decide(Times(head[:n], control[:n], (1.0,) * n), rule)
        if decision.final:
            break
    return decision.outcome, n


def line(rng: Generator, noise: str, students: int, change: float) -> dict[str, float | str]:
    """Return the outcomes in % of runs with so many students, all changed by as much; false alarms are of runs."""
    outcomes: Counter[str] = Counter()
    alarms, launches = 0, []
    for _ in range(RUNS[students]):
        logs = NOISE[noise](rng, (students, len(SIDES), MOST))
        logs[:, 0] += np.log1p(change)
        run = [run_to_decision(student, Rule(MARGIN, 0.0, students)) for student in logs]
        outcomes.update(outcome for outcome, _ in run)
        launches += [n for _, n in run]
        alarms += any(outcome == "improved" or (outcome == "regressed" and change <= MARGIN) for outcome, _ in run)
    median, most = np.quantile(launches, (0.5, 0.9), method="higher")
    shares = {name: 100 * outcomes[name] / len(launches) for name in ("regressed", "pass", "inconclusive")}
    return {
        "noise": noise,
        "slower by": f"{change:.0%}",
        "false alarm": 100 * alarms / RUNS[students],
        **shares,
        "launches: median": str(int(median)),
        "nine of ten": str(int(most)),
    }


def main() -> None:
    for students, changes in ((1, CHANGES), (6, (0.0, 0.01, 0.1))):
        rows = []
        for number, (noise, change) in enumerate(product(NOISE, changes)):
            rows.append(line(np.random.default_rng((SEED, students, number)), noise, students, change))
            print(f"{len(rows)}/{len(NOISE) * len(changes)}", end="\r", file=sys.stderr)
        many = "one student" if students == 1 else f"{students} students"
        heading = f"{RUNS[students]} runs a line with {many}, {MOST} launches at most"
        print(f"{heading}:\n\n{markdown(rows)}\n", flush=True)


if __name__ == "__main__":
    main()
