"""Files of pytest-benchmark compared: each file is one launch, and the intervals are over launches."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillbench.bench.compare.correction import Comparison, corrected
from distillbench.bench.compare.findings import Finding, Report
from distillbench.bench.compare.margins import Margins
from distillbench.bench.compare.times import compare_launch_values
from distillbench.bench.machine.processor import instructions
from distillbench.bench.statistics import geometric_mean
from distillbench.bench.store.configurations import flat
from distillbench.common.errors import UserError, at_most

MACHINE_FIELDS = (
    *("cpu.brand_raw", "cpu.family", "cpu.model", "cpu.stepping", "cpu.flags"),
    *("cpu.count", "python_version", "machine", "system"),
)
"""Fields of machine_info that must agree: the others vary between launches, or name a host. flags: the instructions."""
RESULTS_FOLDERS = ("records", "timings", "exports")
"""By which a results folder is recognised."""


@dataclass(frozen=True)
class BenchmarkFile:
    """One file of pytest-benchmark.

    Attributes:
        machine: The fields of ``MACHINE_FIELDS``.
        medians: Seconds, by the benchmark's full name.
        entries: Everything that the file says about a benchmark, by its full name.
    """

    machine: Mapping[str, object]
    medians: Mapping[str, float]
    entries: Mapping[str, Mapping[str, Any]]


def files(side: Path) -> list[Path]:
    """The files of pytest-benchmark on one side of a comparison.

    Args:
        side: A file, a folder of files, or a results folder.

    Returns:
        The files; none for a results folder.

    Raises:
        UserError: What is to be compared lies one level deeper.
    """
    if side.is_file():
        return [side]
    if _is_results(side):
        return []
    paths = sorted(side.glob("*.json"))
    if not paths and (inner := [str(child) for child in sorted(side.iterdir()) if _is_side(child)]):
        lack = f"contains neither *.json of pytest-benchmark nor {', '.join(RESULTS_FOLDERS)} of a run"
        raise UserError(f"{lack}; they are one level deeper", side, allowed=at_most(3, inner))
    return paths


def _is_side(folder: Path) -> bool:
    return _is_results(folder) or any(folder.glob("*.json"))


def _is_results(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in RESULTS_FOLDERS)


def read(path: Path) -> BenchmarkFile:
    """One file of pytest-benchmark.

    Raises:
        UserError: The file is not one; it names the field.
    """
    try:
        content: Any = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"cannot be read as JSON of pytest-benchmark ({error})", path) from error
    try:
        machine = _machine(content["machine_info"])
        entries = {str(entry["fullname"]): dict(entry) for entry in content["benchmarks"]}
        medians = {name: entry["stats"]["median"] for name, entry in entries.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"not a pytest-benchmark file (machine_info, benchmarks: {error})", path) from error
    for name, median in medians.items():
        if isinstance(median, bool) or not isinstance(median, int | float) or not 0 < median < math.inf:
            field = f"benchmarks[{name}].stats.median"
            raise UserError(f"invalid time {median!r}", path, field, allowed="seconds above 0")
    return BenchmarkFile(machine, medians, entries)


def _machine(info: Any) -> dict[str, object]:
    fields = flat(dict(info))
    if isinstance(flags := fields.get("cpu.flags"), list):
        fields["cpu.flags"] = instructions(map(str, flags))
    return {name: fields.get(name) for name in MACHINE_FIELDS}


def compare_benchmarks(baseline: Path, candidate: Path, margins: Margins) -> Report:
    """Compare the medians of two sides by Welch's interval over launches, corrected as one family.

    Args:
        baseline: A file of pytest-benchmark, or a folder of them.
        candidate: Another file, or another folder.
        margins: How much slower the candidate may be.

    Returns:
        A report with a finding for each benchmark of the baseline.

    Raises:
        UserError: A file cannot be read.
    """
    before, after = ([read(path) for path in files(side)] for side in (baseline, candidate))
    obstacle = _obstacle([file.machine for file in (*before, *after)])
    old, new = (dict.fromkeys(name for file in side for name in file.medians) for side in (before, after))
    family = [_compare(name, before, after, obstacle, margins) for name in old]
    notes = tuple(f"{name}: only in the candidate" for name in new if name not in old)
    return Report(str(baseline), str(candidate), tuple(corrected(family)), notes)


def _obstacle(machines: Sequence[Mapping[str, object]]) -> str:
    """The first field in which the machines differ; '' without one."""
    for name in MACHINE_FIELDS:
        values = sorted({repr(machine[name]) for machine in machines})
        if len(values) > 1:
            return f"machine_info.{name}: {' and '.join(values)}"
    return ""


def _compare(
    name: str, before: Sequence[BenchmarkFile], after: Sequence[BenchmarkFile], obstacle: str, margins: Margins
) -> Comparison:
    old, new = (list(_medians(side, name)) for side in (before, after))
    if not new:
        return Comparison(Finding(name, "median", "missing", "missing from the candidate"))
    if obstacle:
        return Comparison(Finding(name, "median", "incomparable", obstacle))
    identical = _entries(before, name) == _entries(after, name)
    seconds = geometric_mean(old).value
    return compare_launch_values(name, "median", old, new, seconds, margins, identical=identical)


def _medians(side: Sequence[BenchmarkFile], name: str) -> Iterator[float]:
    return (file.medians[name] for file in side if name in file.medians)


def _entries(side: Sequence[BenchmarkFile], name: str) -> list[str]:
    """In an order that does not depend on the files' names."""
    return sorted(json.dumps(file.entries[name], sort_keys=True) for file in side if name in file.entries)
