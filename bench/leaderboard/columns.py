"""A board as a table, cell by cell: the same in Markdown, LaTeX and HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from distillbench.bench.leaderboard.model import Amount, Board, Overall, Place, Reading, Row, Standing
from distillbench.bench.report.formatting import ABSENT, DASH, count_text, heading, milli_text
from distillbench.bench.report.table import Cell, Column, Field, Table, cells, columns, words
from distillbench.bench.report.table import Row as TableRow
from distillbench.bench.store.records import MetricValue
from distillbench.bench.store.terms import Section

WIDE = 1e9
"""From here on a number is written with an exponent."""
SECONDS = Reading(direction="lower", unit="s", decimals=1)
HEADINGS: Mapping[Section, str] = {
    "method": "",
    "control": "controls",
    "teacher": "teachers and baselines",
    "baseline": "teachers and baselines",
}
"""The sections of a board: the entries, and what stands beneath them."""
LEGEND = (
    "rank: by the mean of the first metric, with the 95% interval that other seeds and test examples would give it; "
    "equal entries share a rank",
    "tier: the best entry is the anchor of tier 1, which holds every entry that is not significantly worse (5%, "
    "Holm-corrected over all pairs of the board); the best of the others is the anchor of the next tier. Within a tier "
    "no entry is significantly worse than the anchor; an entry with a wide interval may be in a better tier than one "
    "with a better mean",
    "controls: what a method has to beat. They have no rank and no tier, and no entry has another one because of them",
    "code: official where the method's code, by its digest, is this project's; what a record states about itself is "
    "not verified here",
    "Pareto: no ranked entry is as small and as good, and better in one of the two; by means",
    "training: seconds of the model's own steps, on its contributor's machine; × scratch: relative to the same "
    "contributor's scratch",
    "tries: entries with this method's name on this board; the best of many is partly the luckiest",
)


def amount_text(amount: Amount | None, reading: Reading | None) -> str:
    """A mean with its half-width, '89.60 ± 0.31', or a geometric mean with its interval, '2.38 [2.27, 2.50]'."""
    if amount is None:
        return ABSENT
    decimals = reading.decimals if reading else 2
    if amount.low is not None and amount.high is not None:
        value, low, high = (_number(end, decimals) for end in (amount.value, amount.low, amount.high))
        return f"{value} [{low}, {high}]"
    if amount.half_width is None:
        return _number(amount.value, decimals)
    return f"{_number(amount.value, decimals)} ± {_number(amount.half_width, decimals)}"


def board_table(board: Board) -> Table:
    """The table of one board: a row for each entry, and for the teachers, controls and baselines beneath them."""
    fields = _fields(board)
    rows = (
        TableRow(
            cells(fields, row),
            row.section,
            HEADINGS[row.section],
            HEADINGS[row.section],
            parameters=row.parameters if row.kind == "student" else None,
        )
        for row in board.rows
    )
    return Table(board.title, columns(fields), tuple(rows))


def overall_table(overall: Overall, boards: Sequence[Board]) -> Table:
    """The table of an overall ranking, with a column for the ranks on each board.

    Args:
        overall: The ranking.
        boards: All boards.
    """
    averaged = [board for key in overall.boards for board in boards if board.key == key]
    fields: list[Field[Standing]] = [
        (_figures("mean rank"), lambda standing: _place_cell(standing.place)),
        (words("method", header=True), lambda standing: Cell(standing.label)),
        (words("by"), lambda standing: Cell(standing.contributor)),
        (words("code"), lambda standing: Cell(_origin(standing.official))),
        *((_figures(board.title), partial(_rank_cell, board.key)) for board in averaged),
        (words("lacks"), lambda standing: Cell("; ".join(standing.lacks))),
    ]
    rows = (TableRow(cells(fields, standing), "method") for standing in overall.standings)
    return Table("Overall", columns(fields), tuple(rows))


def _figures(title: str) -> Column:
    """A column of numbers, some of which have words of contributors beside them: it is escaped like names."""
    return Column(title, words=True)


def _fields(board: Board) -> list[Field[Row]]:
    metrics = dict.fromkeys(name for name in (board.primary_metric, board.fidelity) if name)
    several_machines = len(board.machines) > 1
    return [
        (_figures("rank"), _of_entries(lambda row: _place_cell(row.place))),
        (_figures("tier"), _of_entries(_tier_cell)),
        (words("method", header=True), lambda row: Cell(row.name)),
        (words("by"), lambda row: Cell(", ".join(row.folders))),
        (words("code"), lambda row: Cell(_origin(row.official) if row.kind == "student" else row.kind)),
        (_figures("seeds"), _seeds_cell),
        *(_metric_field(board, name) for name in metrics),
        (_figures("params"), lambda row: Cell(count_text(row.parameters), row.parameters)),
        (_figures("MACs"), lambda row: Cell(count_text(row.macs), row.macs)),
        (_figures("latency (ms)"), partial(_latency_cell, several_machines)),
        (_figures("speed rank"), partial(_speed_rank_cell, several_machines)),
        (_figures("training (s)"), _training_cell),
        (_figures("× scratch"), _times_scratch_cell),
        (_figures("Pareto"), lambda row: Cell("yes" if row.pareto else "")),
        (_figures("tries"), _of_entries(lambda row: Cell(str(row.submissions), row.submissions))),
    ]


def _of_entries(cell: Callable[[Row], Cell]) -> Callable[[Row], Cell]:
    """The same cell for entries, and an empty one for teachers, controls and baselines."""
    return lambda row: cell(row) if row.section == "method" else Cell("")


def _metric_field(board: Board, name: str) -> Field[Row]:
    reading = board.metrics[name]
    several_tiers = any(entry.place and (entry.place.tier or 1) > 1 for entry in board.entries)

    def cell(row: Row) -> Cell:
        amount = row.metrics.get(name)
        best = name == board.primary_metric and several_tiers and row.place is not None and row.place.tier == 1
        text = amount_text(amount, reading) if amount or row.kind == "student" else ""
        return Cell(text, amount.value if amount else None, best)

    return _figures(heading(name, MetricValue(value=0, direction=reading.direction, unit=reading.unit))), cell


def _origin(official: bool) -> str:
    return "official" if official else "contributed"


def _tier_cell(row: Row) -> Cell:
    tier = row.place.tier if row.place else None
    return Cell(DASH if tier is None else str(tier), tier)


def _seeds_cell(row: Row) -> Cell:
    return Cell("") if row.kind == "baseline" else Cell(row.unranked or str(row.seeds), row.seeds)


def _latency_cell(several_machines: bool, row: Row) -> Cell:
    if row.speed is None:
        return Cell("")
    return Cell(f"{milli_text(row.speed.seconds)}{_on(row.speed.machine, several_machines)}", row.speed.seconds)


def _speed_rank_cell(several_machines: bool, row: Row) -> Cell:
    if row.speed is None or row.speed.rank is None:
        return Cell("")
    return Cell(f"{row.speed.rank}{_on(row.speed.machine, several_machines)}", row.speed.rank)


def _training_cell(row: Row) -> Cell:
    return Cell(amount_text(row.training, SECONDS), row.training.value) if row.training else Cell("")


def _times_scratch_cell(row: Row) -> Cell:
    return Cell("") if row.times_scratch is None else Cell(f"{row.times_scratch:.3g}", row.times_scratch)


def _rank_cell(key: str, standing: Standing) -> Cell:
    rank = standing.ranks.get(key)
    return Cell(DASH if rank is None else f"{rank:.3g}", rank)


def _place_cell(place: Place | None) -> Cell:
    if place is None:
        return Cell(DASH, 1e9)  # below all that have one
    text = f"{place.rank:.3g}"
    return Cell(text if place.low is None else f"{text} ({place.low:.3g}–{place.high:.3g})", place.rank)


def _on(machine: str, several: bool) -> str:
    return f" ({machine})" if several else ""


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if abs(value) < WIDE else f"{value:.3e}"
