"""A board as a table, cell by cell: the same in Markdown, LaTeX and HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from distillbench.bench.leaderboard.model import Amount, Board, Overall, Place, Reading, Row
from distillbench.bench.report.formatting import ABSENT, count_text, heading
from distillbench.bench.store.records import MetricValue

NONE = "–"
WIDE = 1e9
"""From here on a number is written with an exponent."""
LEGEND = (
    "rank: by the mean of the first metric, with the 95% interval that other seeds and test examples would give it; "
    "equal entries share a rank",
    "tier: the best entry is the anchor of tier 1, which holds every entry that is not significantly worse (5%, "
    "Holm-corrected over all pairs of the board); the best of the others is the anchor of the next tier. Within a tier "
    "no entry is significantly worse than the anchor; an entry with a wide interval may be in a better tier than one "
    "with a better mean",
    "code: official where the method's code, by its digest, is this project's; what a record states about itself is "
    "not verified here",
    "Pareto: no ranked entry is as small and as good, and better in one of the two; by means",
    "training: seconds of the model's own steps, on its contributor's machine; × scratch: relative to the same "
    "contributor's scratch",
    "tries: entries with this method's name on this board; the best of many is partly the luckiest",
)


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: What it says.
        order: What it is sorted by, where that is not its text.
        strong: Whether it is emphasised.
    """

    text: str
    order: float | None = None
    strong: bool = False


@dataclass(frozen=True)
class Line:
    """A row of a table.

    Attributes:
        kind: Of the model: student, teacher or baseline.
        cells: One for each column.
        parameters: What rows are filtered by; None for a row that always stays.
    """

    kind: str
    cells: tuple[Cell, ...]
    parameters: int | None = None


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        columns: Headings.
        lines: Rows.
        left: Indices of the columns that are aligned left.
        header: Index of the column that names a row.
    """

    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    left: frozenset[int]
    header: int


def amount_text(amount: Amount | None, reading: Reading | None) -> str:
    """A mean with its half-width, '89.60 ± 0.31'."""
    if amount is None:
        return ABSENT
    decimals = reading.decimals if reading else 2
    if amount.half_width is None:
        return _number(amount.value, decimals)
    return f"{_number(amount.value, decimals)} ± {_number(amount.half_width, decimals)}"


def board_table(board: Board) -> Table:
    """The table of one board."""
    fidelity = board.fidelity
    metrics = [board.primary_metric, *([fidelity] if fidelity and fidelity != board.primary_metric else [])]
    titles = (
        *("rank", "tier", "method", "by", "code", "seeds"),
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
    """The table of an overall ranking.

    Args:
        overall: The ranking.
        boards: All boards.

    Returns:
        A table with a column for the ranks on each board.
    """
    averaged = [board for key in overall.boards for board in boards if board.key == key]
    lines = []
    for standing in overall.standings:
        ranks = [standing.ranks.get(board.key) for board in averaged]
        cells = [
            _place_cell(standing.place),
            Cell(standing.label),
            Cell(standing.contributor),
            Cell("official" if standing.official else "contributed"),
            *(Cell(NONE if rank is None else f"{rank:.3g}", rank) for rank in ranks),
            Cell("; ".join(standing.lacks)),
        ]
        lines.append(Line("student", tuple(cells)))
    columns = ("mean rank", "method", "by", "code", *(board.title for board in averaged), "lacks")
    return Table(columns, tuple(lines), frozenset({1, 2, 3, len(columns) - 1}), 1)


def _cells(row: Row, board: Board, metrics: Sequence[str], several: bool) -> Iterator[Cell]:
    entry = row.kind == "student"
    yield _place_cell(row.place) if entry else Cell("")
    tier = row.place.tier if row.place else None
    several_tiers = any(other.place and (other.place.tier or 1) > 1 for other in board.entries)
    yield Cell(NONE if tier is None else str(tier), tier) if entry else Cell("")
    yield Cell(row.name)
    yield Cell(", ".join(row.folders))
    yield Cell("official" if row.official else "contributed") if entry else Cell(row.kind)
    yield Cell(row.unranked or str(row.seeds), row.seeds) if row.kind != "baseline" else Cell("")
    for name in metrics:
        amount = row.metrics.get(name)
        text = amount_text(amount, board.metrics[name]) if entry or amount else ""
        best = name == board.primary_metric and tier == 1 and several_tiers
        yield Cell(text, amount.value if amount else None, best)
    yield Cell(count_text(row.parameters), row.parameters)
    yield Cell(count_text(row.macs), row.macs)
    speed = row.speed
    yield Cell(f"{1000 * speed.seconds:.3g}{_on(speed.machine, several)}", speed.seconds) if speed else Cell("")
    yield Cell(f"{speed.rank}{_on(speed.machine, several)}", speed.rank) if speed else Cell("")
    yield (
        Cell(amount_text(row.training, Reading(direction="lower", unit="s", decimals=1)), row.training.value)
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
