"""How often a board separates entries that do not differ, and how often it finds one that does.

    python tests/simulations/classes.py

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
    classes,
    crossed_interval,
    crossed_unpaired,
    holm,
    rank_draws,
    rank_intervals,
    ranks,
    unpaired_difference,
)

Array = NDArray[np.float64]

SEED = 0
BOARDS = 1000
LEVEL = 0.05
VARIANTS = ("all pairs", "anchor only", "uncorrected")


@dataclass(frozen=True)
class Case:
    """Standard deviations: what seeds do to all entries, items to all, an entry's own of each, and the rest.

    paired: the entries ran the same seeds. In units of the standard error of a difference of two entries, better: by so
    much is the first entry better than all; apart: by so much is each better than the next.
    """

    name: str
    seeds: int
    items: int
    seed: float
    item: float
    own_seed: float
    own_item: float
    rest: float
    paired: bool = True
    entries: int = 5
    better: float = 0.0
    apart: float = 0.0

    @property
    def error(self) -> float:
        """Of the difference of two entries."""
        own = self.own_seed**2 / self.seeds + self.own_item**2 / self.items + self.rest**2 / (self.seeds * self.items)
        shared = 0.0 if self.paired else self.seed**2 / self.seeds
        return math.sqrt(2 * (own + shared))

    def draw(self, rng: Generator) -> list[Array]:
        """A matrix seeds × items for each entry."""
        item = self.item * rng.normal(size=self.items)
        shared = self.seed * rng.normal(size=(self.seeds, 1))
        found = []
        for entry in range(self.entries):
            seed = shared if self.paired else self.seed * rng.normal(size=(self.seeds, 1))
            own = self.own_seed * rng.normal(size=(self.seeds, 1)) + self.own_item * rng.normal(size=self.items)
            rest = self.rest * rng.normal(size=(self.seeds, self.items))
            lead = (self.better if entry == 0 else 0.0) - self.apart * entry
            found.append(seed + item + own + rest + lead * self.error)
        return found


def cases(better: float = 0.0, apart: float = 0.0) -> list[Case]:
    mixes = {"seeds": (1, 3, 1, 0.2, 1), "items": (0.3, 3, 0.2, 2, 0.5), "rest": (0.3, 1, 0.1, 0.1, 3)}
    shapes = ((3, 6, True), (5, 6, True), (5, 100, True), (10, 100, True), (3, 6, False), (5, 100, False))
    found = [
        Case(name, seeds, items, *mix, paired=paired, better=better, apart=apart)
        for seeds, items, paired in shapes
        for name, mix in mixes.items()
    ]
    # No per-item results: one value a seed.
    return found + [
        Case("no items", 5, 1, 1, 0, 1, 0, 0, paired, better=better, apart=apart) for paired in (True, False)
    ]


def p_values(board: Sequence[Array], paired: bool, welch: bool = False) -> Array:
    """As the leaderboard has them. welch: over seeds alone, where they are not paired."""
    found = np.ones((len(board), len(board)))
    for i, mine in enumerate(board):
        for j, other in enumerate(board[:i]):
            if paired:
                p = crossed_interval(mine - other).p
            elif welch:
                p = unpaired_difference(mine.mean(1).tolist(), other.mean(1).tolist()).p
            else:
                p = crossed_unpaired(mine, other, same_items=True).p
            found[i, j] = found[j, i] = p
    return found


def separated(scores: Sequence[float], p: Array) -> dict[str, bool]:
    """Whether any entry is said to be worse than the best: corrected for all pairs, for those of the best, or not."""
    best = int(np.argmax(scores))
    against = [float(p[best, i]) for i in range(len(scores)) if i != best]
    return {
        "all pairs": max(classes(scores, p, LEVEL)) > 1,
        "anchor only": min(holm(against)) < LEVEL,
        "uncorrected": min(against) < LEVEL,
    }


def error_rates(case: Case, rng: Generator, boards: int = BOARDS) -> dict[str, float]:
    """The share of boards of equal entries that separate any, by each variant; 'Welch': all pairs, over seeds alone."""
    counts = Counter[str]()
    for _ in range(boards):
        board = case.draw(rng)
        scores = [float(matrix.mean()) for matrix in board]
        counts.update(name for name, found in separated(scores, p_values(board, case.paired)).items() if found)
        if not case.paired and case.items > 1:
            counts["Welch"] += max(classes(scores, p_values(board, False, welch=True), LEVEL)) > 1
    found = {name: counts[name] / boards for name in VARIANTS}
    return found | {"Welch": counts["Welch"] / boards if not case.paired and case.items > 1 else math.nan}


def power(case: Case, rng: Generator, boards: int = BOARDS) -> dict[str, float]:
    """The share of boards that have the better entry alone in the first class; that have others above it."""
    alone = wrong = 0
    for _ in range(boards):
        board = case.draw(rng)
        found = classes([float(matrix.mean()) for matrix in board], p_values(board, case.paired), LEVEL)
        alone += found[0] == 1 and found.count(1) == 1
        wrong += found[0] > 1
    return {"alone in class 1": alone / boards, "not in class 1": wrong / boards}


def coverage(case: Case, rng: Generator, boards: int = BOARDS // 4) -> dict[str, float]:
    """Of entries that are apart: the share of ranks' intervals that hold the true rank, and how wide they are."""
    held, width = 0, 0.0
    for _ in range(boards):
        board = case.draw(rng)
        seeds = ["shared" if case.paired else str(i) for i in range(case.entries)]
        draws = rank_draws(board, seeds, ["shared"] * case.entries, 400, int(rng.integers(2**32)))
        at = [float(rank) for rank in ranks([matrix.mean() for matrix in board])]
        for true, (low, high) in enumerate(rank_intervals(draws, at), 1):
            held += low <= true <= high
            width += (high - low) / 100  # a table has shares in %
    return {"holds the rank": held / boards / case.entries, "width": width / boards / case.entries}


def table(head: Sequence[str], rows: Sequence[tuple[Case, dict[str, float]]]) -> str:
    """Markdown; shares in %."""
    lines = [["seeds × items", "seeds are", "most varies by", *head], ["---"] * 3 + ["---:"] * len(head)]
    for case, shares in rows:
        figures = ["" if math.isnan(shares[name]) else f"{100 * shares[name]:.1f}" for name in head]
        size = f"{case.seeds} × {case.items}" if case.items > 1 else f"{case.seeds}"
        lines.append([size, "the same" if case.paired else "others", case.name, *figures])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    errors, finds = [], []
    streams = iter(np.random.SeedSequence(SEED).spawn(3 * len(cases())))
    for case in cases():
        errors.append((case, error_rates(case, np.random.default_rng(next(streams)))))
        print(f"{len(errors)}/{2 * len(cases())}", end="\r", file=sys.stderr)
    print(f"Boards of five equal entries that separate any, in %, {BOARDS} boards a line:\n")
    print(table([*VARIANTS, "Welch"], errors))
    for case in cases(better=6.0):
        finds.append((case, power(case, np.random.default_rng(next(streams)))))
        print(f"{len(errors) + len(finds)}/{2 * len(cases())}", end="\r", file=sys.stderr)
    print(f"\nOne of five better by six standard errors of a difference, in %, {BOARDS} boards a line:\n")
    print(table(["alone in class 1", "not in class 1"], finds))
    held = [(case, coverage(case, np.random.default_rng(next(streams)))) for case in cases(apart=1.0)]
    print(
        "\nFive entries, each a standard error of a difference apart: 95 % intervals that hold the rank, in %, and how"
    )
    print(f"many ranks they are wide, {BOARDS // 4} boards a line:\n")
    print(table(["holds the rank", "width"], held))


if __name__ == "__main__":
    main()
