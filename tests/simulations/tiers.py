"""How often a board separates entries that do not differ, and how often it finds one that does.

    python tests/simulations/tiers.py

prints the tables of docs/leaderboard.md. Every number comes from the fixed SEED.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from distillbench.bench.statistics import (
    crossed_interval,
    crossed_unpaired,
    holm,
    rank_draws,
    rank_intervals,
    ranks,
    tiers,
    unpaired_difference,
)

Array = NDArray[np.float64]

SEED = 0
BOARDS = 1000
SIGNIFICANCE_LEVEL = 0.05
VARIANTS = ("all pairs", "anchor only", "uncorrected")


@dataclass(frozen=True)
class Case:
    """Boards whose truth is known: how many seeds and examples their entries have, and what these vary by."""

    name: str
    """What most of the variance of a difference comes from."""
    seeds: int
    examples: int
    seed: float
    """Standard deviation of what a seed does to all entries."""
    example: float
    """Standard deviation of what a test example does to all entries."""
    own_seed: float
    """Standard deviation of what a seed does to one entry."""
    own_example: float
    """Standard deviation of what a test example does to one entry."""
    rest: float
    """Standard deviation of what is left."""
    paired: bool = True
    """Whether all entries ran the same seeds."""
    entries: int = 5
    better: float = 0.0
    """How much better the first entry is than all others, in standard errors of a difference of two entries."""
    apart: float = 0.0
    """How much better each entry is than the next, in standard errors of a difference of two entries."""

    @property
    def error(self) -> float:
        """The standard error of the difference of two entries."""
        own = self.own_seed**2 / self.seeds + self.own_example**2 / self.examples
        own += self.rest**2 / (self.seeds * self.examples)
        shared = 0.0 if self.paired else self.seed**2 / self.seeds
        return math.sqrt(2 * (own + shared))

    def draw(self, rng: Generator) -> list[Array]:
        """Draw a matrix (seeds, examples) for each entry."""
        example = self.example * rng.normal(size=self.examples)
        shared = self.seed * rng.normal(size=(self.seeds, 1))
        board = []
        for entry in range(self.entries):
            seed = shared if self.paired else self.seed * rng.normal(size=(self.seeds, 1))
            own = self.own_seed * rng.normal(size=(self.seeds, 1)) + self.own_example * rng.normal(size=self.examples)
            rest = self.rest * rng.normal(size=(self.seeds, self.examples))
            lead = (self.better if entry == 0 else 0.0) - self.apart * entry
            board.append(seed + example + own + rest + lead * self.error)
        return board


def cases(better: float = 0.0, apart: float = 0.0) -> list[Case]:
    """Return a case for each line of a table."""
    mixes = {"seeds": (1, 3, 1, 0.2, 1), "examples": (0.3, 3, 0.2, 2, 0.5), "rest": (0.3, 1, 0.1, 0.1, 3)}
    shapes = ((3, 6, True), (5, 6, True), (5, 100, True), (10, 100, True), (3, 6, False), (5, 100, False))
    with_examples = [
        Case(name, seeds, examples, *mix, paired=paired, better=better, apart=apart)
        for seeds, examples, paired in shapes
        for name, mix in mixes.items()
    ]
    # No per-example results: one value a seed.
    return with_examples + [
        Case("no examples", 5, 1, 1, 0, 1, 0, 0, paired, better=better, apart=apart) for paired in (True, False)
    ]


def p_values(board: Sequence[Array], paired: bool, welch: bool = False) -> Array:
    """Compare each two entries as the leaderboard does.

    Args:
        board: A matrix (seeds, examples) for each entry.
        paired: Whether the entries ran the same seeds.
        welch: Compare over seeds alone where they are not paired.

    Returns:
        The p-values, (entries, entries).
    """
    matrix = np.ones((len(board), len(board)))
    for i, first in enumerate(board):
        for j, second in enumerate(board[:i]):
            if paired:
                p = crossed_interval(first - second).p
            elif welch:
                p = unpaired_difference(first.mean(1).tolist(), second.mean(1).tolist()).p
            else:
                p = crossed_unpaired(first, second, same_examples=True).p
            matrix[i, j] = matrix[j, i] = p
    return matrix


def separations(scores: Sequence[float], p: Array) -> dict[str, bool]:
    """Tell whether any entry counts as worse than the best: corrected for all pairs, for those of the best, or not."""
    best = int(np.argmax(scores))
    against = [float(p[best, i]) for i in range(len(scores)) if i != best]
    return {
        "all pairs": max(tiers(scores, p, SIGNIFICANCE_LEVEL)) > 1,
        "anchor only": min(holm(against)) < SIGNIFICANCE_LEVEL,
        "uncorrected": min(against) < SIGNIFICANCE_LEVEL,
    }


def error_rates(case: Case, rng: Generator, boards: int = BOARDS) -> dict[str, float]:
    """Return the share of boards of equal entries that separate any, by variant; 'Welch': over seeds alone."""
    counts = Counter[str]()
    for _ in range(boards):
        board = case.draw(rng)
        scores = [float(matrix.mean()) for matrix in board]
        separated = separations(scores, p_values(board, case.paired))
        counts.update(name for name in VARIANTS if separated[name])
        if not case.paired and case.examples > 1:
            counts["Welch"] += max(tiers(scores, p_values(board, False, welch=True), SIGNIFICANCE_LEVEL)) > 1
    welch = counts["Welch"] / boards if not case.paired and case.examples > 1 else math.nan
    return {name: counts[name] / boards for name in VARIANTS} | {"Welch": welch}


def power(case: Case, rng: Generator, boards: int = BOARDS) -> dict[str, float]:
    """Return the share of boards with the better entry alone in the first tier, and of those with it below."""
    alone = below = 0
    for _ in range(boards):
        board = case.draw(rng)
        scores = [float(matrix.mean()) for matrix in board]
        first, *others = tiers(scores, p_values(board, case.paired), SIGNIFICANCE_LEVEL)
        alone += first == 1 and 1 not in others
        below += first > 1
    return {"alone in tier 1": alone / boards, "not in tier 1": below / boards}


def coverage(case: Case, rng: Generator, boards: int = BOARDS // 4) -> dict[str, float]:
    """Return the share of intervals that hold the true rank, of entries that are apart, and their mean width."""
    hits, width = 0, 0.0
    for _ in range(boards):
        board = case.draw(rng)
        seeds = ["shared" if case.paired else str(i) for i in range(case.entries)]
        draws = rank_draws(board, seeds, ["shared"] * case.entries, 400, int(rng.integers(2**32)))
        current = [float(rank) for rank in ranks([matrix.mean() for matrix in board])]
        for rank, (low, high) in enumerate(rank_intervals(draws, current), 1):
            hits += low <= rank <= high
            width += (high - low) / 100  # a table has shares in %
    return {"holds the rank": hits / boards / case.entries, "width": width / boards / case.entries}


def markdown(head: Sequence[str], rows: Sequence[tuple[Case, dict[str, float]]]) -> str:
    """Return Markdown with shares in %."""
    lines = [["seeds × examples", "seeds are", "most varies by", *head], ["---"] * 3 + ["---:"] * len(head)]
    for case, shares in rows:
        figures = ["" if math.isnan(shares[name]) else f"{100 * shares[name]:.1f}" for name in head]
        size = f"{case.seeds} × {case.examples}" if case.examples > 1 else f"{case.seeds}"
        lines.append([size, "the same" if case.paired else "others", case.name, *figures])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    errors, powers = [], []
    streams = iter(np.random.SeedSequence(SEED).spawn(3 * len(cases())))
    for case in cases():
        errors.append((case, error_rates(case, np.random.default_rng(next(streams)))))
        print(f"{len(errors)}/{2 * len(cases())}", end="\r", file=sys.stderr)
    print(f"Boards of five equal entries that separate any, in %, {BOARDS} boards a line:\n")
    print(markdown([*VARIANTS, "Welch"], errors))
    for case in cases(better=6.0):
        powers.append((case, power(case, np.random.default_rng(next(streams)))))
        print(f"{len(errors) + len(powers)}/{2 * len(cases())}", end="\r", file=sys.stderr)
    print(f"\nOne of five better by six standard errors of a difference, in %, {BOARDS} boards a line:\n")
    print(markdown(["alone in tier 1", "not in tier 1"], powers))
    widths = [(case, coverage(case, np.random.default_rng(next(streams)))) for case in cases(apart=1.0)]
    print(
        "\nFive entries, each a standard error of a difference apart: 95 % intervals that hold the rank, in %, and how"
    )
    print(f"many ranks they are wide, {BOARDS // 4} boards a line:\n")
    print(markdown(["holds the rank", "width"], widths))


if __name__ == "__main__":
    main()
