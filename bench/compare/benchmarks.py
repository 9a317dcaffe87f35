"""Files of pytest-benchmark compared: each is one launch, and the launches are what intervals are over."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillbench.bench.compare.correction import Margins, Single, corrected
from distillbench.bench.compare.findings import Finding, Report
from distillbench.bench.compare.times import speed
from distillbench.bench.machine.processor import instructions
from distillbench.bench.statistics import geometric_mean
from distillbench.bench.store.configurations import flat
from distillbench.common.errors import UserError, at_most

STABLE = (
    *("cpu.brand_raw", "cpu.family", "cpu.model", "cpu.stepping", "cpu.flags"),
    *("cpu.count", "python_version", "machine", "system"),
)
"""What of machine_info must agree: the rest varies from launch to launch, or names a host. flags: the instructions."""
FOLDERS = ("records", "timings", "exports")
"""Of a results folder, which is compared in another way."""


@dataclass(frozen=True)
class Launch:
    """medians: seconds, by the benchmark's full name. entries: all that its file says of each."""

    machine: Mapping[str, object]
    medians: Mapping[str, float]
    entries: Mapping[str, Mapping[str, Any]]


def files(side: Path) -> list[Path]:
    """Those of a side that is pytest-benchmark's; none where it is not. Raises UserError for one a level too high."""
    if side.is_file():
        return [side]
    if _is_results(side):
        return []
    launches = sorted(side.glob("*.json"))
    if not launches and (inner := [str(child) for child in sorted(side.iterdir()) if _is_side(child)]):
        looked = f"holds neither *.json of pytest-benchmark nor {', '.join(FOLDERS)} of a run"
        raise UserError(f"{side}: {looked}; they are a level deeper (allowed: {', '.join(at_most(3, inner))})")
    return launches


def _is_side(folder: Path) -> bool:
    return _is_results(folder) or any(folder.glob("*.json"))


def _is_results(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in FOLDERS)


def read(path: Path) -> Launch:
    """Raises UserError naming the file and the field."""
    try:
        content: Any = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON of pytest-benchmark ({error})") from error
    try:
        machine = flat(dict(content["machine_info"]))
        if isinstance(flags := machine.get("cpu.flags"), list):
            machine["cpu.flags"] = instructions(map(str, flags))
        entries = {str(entry["fullname"]): dict(entry) for entry in content["benchmarks"]}
        medians = {name: entry["stats"]["median"] for name, entry in entries.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not of pytest-benchmark (machine_info, benchmarks: {error})") from error
    for name, median in medians.items():
        if isinstance(median, bool) or not isinstance(median, int | float) or not 0 < median < math.inf:
            raise UserError(f"{path}: benchmarks[{name}].stats.median: {median!r} (allowed: seconds above 0)")
    return Launch({name: machine.get(name) for name in STABLE}, medians, entries)


def compare_benchmarks(baseline: Path, candidate: Path, margins: Margins) -> Report:
    """Medians, Welch over launches, one family. Raises UserError for what cannot be read."""
    before, after = ([read(path) for path in files(side)] for side in (baseline, candidate))
    machines = [launch.machine for launch in (*before, *after)]
    other = next((n for n in STABLE if len({repr(machine[n]) for machine in machines}) > 1), None)
    old, new = (dict.fromkeys(name for launch in side for name in launch.medians) for side in (before, after))
    findings: list[Single] = []
    for name in old:
        sides = [[launch.medians[name] for launch in side if name in launch.medians] for side in (before, after)]
        if name not in new:
            findings.append(Single(Finding(name, "median", "missing", "not in the candidate")))
        elif other:
            said = " and ".join(sorted({repr(machine[other]) for machine in machines}))
            findings.append(Single(Finding(name, "median", "incomparable", f"machine_info.{other}: {said}")))
        else:
            seconds, same = geometric_mean(sides[0]).value, _entries(before, name) == _entries(after, name)
            findings.append(speed(name, "median", sides[0], sides[1], seconds, margins, identical=same))
    notes = [f"{name}: in the candidate only" for name in new if name not in old]
    return Report(str(baseline), str(candidate), tuple(corrected(findings)), tuple(notes))


def _entries(side: Sequence[Launch], name: str) -> list[str]:
    """In an order that does not depend on the files' names."""
    return sorted(json.dumps(launch.entries[name], sort_keys=True) for launch in side if name in launch.entries)
