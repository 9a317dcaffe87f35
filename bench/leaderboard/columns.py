"""What a reader sees of a board, cell by cell, the same in Markdown, LaTeX and HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from distillbench.bench.leaderboard.model import Amount, Board, Overall, Place, Reading, Row
from distillbench.bench.report.formatting import ABSENT, count_text, heading
from distillbench.bench.store.records import MetricValue

NONE = "–"
WIDE = 1e9
"""From here on a figure is written with an exponent."""
LEGEND = (
    "rank: by the mean of the first metric, with the 95% interval that other seeds and test examples would give it; "
    "equal ones share it",
    "class: the best entry anchors class 1, and whoever is not significantly worse than it is in it (5%, Holm over all "
    "pairs of the board); the best of the others anchors the next. In one class nobody is known to be worse than its "
    "anchor; an entry with a wide interval may be in a better class than one with a better mean",
    "code: official where the record's method is this project's, to the digest of its code; what a record says of "
    "itself is not verified here",
    "Pareto: no ranked entry is as small and as good, and better in one of the two; by means",
    "training: seconds of the model's own steps, on its contributor's machine; × scratch: over those of the same "
    "contributor's scratch",
    "tries: entries of this method's name on this board; the best of many is partly the luckiest",
)


@dataclass(frozen=True)
class Cell:
    """order: what it is sorted by, where that is not its text. strong: emphasised, beside what it says."""

    text: str
    order: float | None = None
    strong: bool = False


@dataclass(frozen=True)
class Line:
    """A row of a table. parameters: what the size classes are of; None where it is not filtered by."""

    kind: str
    cells: tuple[Cell, ...]
    parameters: int | None = None


@dataclass(frozen=True)
class Table:
    """names: how many columns, from the first on, hold names, and are aligned left; header: which one names the row."""

    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    left: frozenset[int]
    header: int


def who(row: Row) -> str:
    """ "lab-a's mimic"."""
    return f"{row.contributor}'s {row.name}"


def figure(amount: Amount | None, reading: Reading | None) -> str:
    """'89.60 ± 0.31'."""
    if amount is None:
        return ABSENT
    decimals = reading.decimals if reading else 2
    if amount.half_width is None:
        return _number(amount.value, decimals)
    return f"{_number(amount.value, decimals)} ± {_number(amount.half_width, decimals)}"


def board_table(board: Board) -> Table:
    fidelity = board.fidelity
    metrics = [board.primary_metric, *([fidelity] if fidelity and fidelity != board.primary_metric else [])]
    titles = (
        *("rank", "class", "method", "by", "code", "seeds"),
        *(_heading(name, board.metrics[name]) for name in metrics),
        *("params", "MACs", "latency (ms)", "speed rank", "training (s)", "× scratch", "Pareto", "tries"),
    )
    several = len(board.machines) > 1
    lines = tuple(
        Line(row.kind, tuple(_cells(row, board, metrics, several)), row.parameters if row.kind == "student" else None)
        for row in board.rows
    )
    return Table(titles, lines, frozenset({2, 3, 4}), 2)


def overall_table(overall: Overall, boards: Sequence[Board]) -> Table:
    """Every rank that is averaged; where there is none, that there is none."""
    its = [board for key in overall.boards for board in boards if board.key == key]
    lines = []
    for standing in overall.standings:
        ranks = [standing.ranks.get(board.key) for board in its]
        cells = [
            _place_cell(standing.place),
            Cell(standing.label),
            Cell(standing.contributor),
            Cell("official" if standing.official else "contributed"),
            *(Cell(NONE if rank is None else f"{rank:.3g}", rank) for rank in ranks),
            Cell("; ".join(standing.lacks)),
        ]
        lines.append(Line("student", tuple(cells)))
    columns = ("mean rank", "method", "by", "code", *(board.title for board in its), "lacks")
    return Table(columns, tuple(lines), frozenset({1, 2, 3, len(columns) - 1}), 1)


def _cells(row: Row, board: Board, metrics: Sequence[str], several: bool) -> Iterator[Cell]:
    entry = row.kind == "student"
    yield _place_cell(row.place) if entry else Cell("")
    in_class = row.place.in_class if row.place else None
    several_classes = any(other.place and (other.place.in_class or 1) > 1 for other in board.entries)
    yield Cell(NONE if in_class is None else str(in_class), in_class) if entry else Cell("")
    yield Cell(row.name)
    yield Cell(", ".join(row.folders))
    yield Cell("official" if row.official else "contributed") if entry else Cell(row.kind)
    yield Cell(row.unranked or str(row.seeds), row.seeds) if row.kind != "baseline" else Cell("")
    for name in metrics:
        amount = row.metrics.get(name)
        text = figure(amount, board.metrics[name]) if entry or amount else ""
        first = name == board.primary_metric and in_class == 1 and several_classes
        yield Cell(text, amount.value if amount else None, first)
    yield Cell(count_text(row.parameters), row.parameters)
    yield Cell(count_text(row.macs), row.macs)
    speed = row.speed
    yield Cell(f"{1000 * speed.seconds:.3g}{_on(speed.machine, several)}", speed.seconds) if speed else Cell("")
    yield Cell(f"{speed.rank}{_on(speed.machine, several)}", speed.rank) if speed else Cell("")
    yield (
        Cell(figure(row.training, Reading(direction="lower", unit="s", decimals=1)), row.training.value)
        if (row.training)
        else Cell("")
    )
    yield Cell(f"{row.times_scratch:.3g}", row.times_scratch) if row.times_scratch is not None else Cell("")
    yield Cell("yes" if row.pareto else "")
    yield Cell(str(row.submissions), row.submissions) if entry else Cell("")


def _place_cell(place: Place | None) -> Cell:
    if place is None:
        return Cell(NONE, 1e9)  # below all that have one
    text = f"{place.rank:.3g}"
    return Cell(text if place.low is None else f"{text} ({place.low:.3g}–{place.high:.3g})", place.rank)


def _on(machine: str, several: bool) -> str:
    return f" ({machine})" if several else ""


def _heading(name: str, reading: Reading) -> str:
    return heading(name, MetricValue(value=0, direction=reading.direction, unit=reading.unit))


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if abs(value) < WIDE else f"{value:.3e}"
