"""A record says enough to be made again, without the harness that made it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from distillbench.bench.machine.environment import environment
from reproduce import elsewhere, refusal
from support.paths import ROOT
from support.processes import finish

SCRIPT = ROOT / "tests" / "reproduce.py"
LABELS = ("teacher", "scratch", "mimic", "temperature", "logistic", "cross_model")


def record_of(results: Path, label: str, seed: int) -> Path:
    return results / "records" / "classification" / "cnn_mlp" / label / f"seed-{seed}.json"


def reproduce(*records: Path) -> subprocess.CompletedProcess[str]:
    return finish([sys.executable, str(SCRIPT), *map(str, records)])


def test_records_are_reproduced_to_the_printed_digits(tiny_results: Path) -> None:
    done = reproduce(*(record_of(tiny_results, label, 0 if label == "teacher" else 1) for label in LABELS))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("accuracy") == len(LABELS)
    assert "differs" not in done.stdout


def test_a_changed_metric_is_refused(tiny_results: Path, tmp_path: Path) -> None:
    record = json.loads(record_of(tiny_results, "temperature", 1).read_text())
    record["metrics"]["nll"]["value"] += 0.001
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(record))
    done = reproduce(record_of(tiny_results, "scratch", 1), changed)
    assert done.returncode == 1, done.stdout + done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines() if "differs" in line] == ["nll"]


def test_a_record_of_another_processor_says_that_digits_may_differ() -> None:
    here = environment()
    assert elsewhere({"environment": json.loads(json.dumps(here))}) is None
    other = here | {"processor": here["processor"] | {"capability": "OTHER"}}
    assert "OTHER" in (elsewhere({"environment": other}) or "")


def test_what_was_not_trained_is_not_reproduced(tiny_results: Path) -> None:
    record = json.loads(record_of(tiny_results, "baseline-nearest-centroid", 0).read_text())
    assert refusal(record) == "not a teacher or a student of classification"
