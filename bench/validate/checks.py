"""All checks of a submission that run none of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from distillbench.bench.validate import configuration, environments, measurements, record_sets, weight_files
from distillbench.bench.validate.claimed_suite import ClaimedSuite
from distillbench.bench.validate.submission import Submission
from distillbench.bench.validate.violations import Check, Report, Violation

MOST_VIOLATIONS = 1_000
"""Of one check: a record may hold a million invalid fields."""
FILES = "plain files and folders, no links, of reasonable size and depth"
RECORDS = "each record is readable, in its place, and consistent: hash, means of examples"
CHECKS: Mapping[str, tuple[str, Callable[[Submission, ClaimedSuite], Iterator[Violation]]]] = {
    "configuration": ("as in the suite: steps, data, split, networks, code", configuration.configuration),
    "labels": ("the names of methods are valid and distinct", configuration.labels),
    "seeds": ("all seeds of the suite", record_sets.seeds),
    "expected": ("all cells that the run was to produce", record_sets.expected),
    "duplicates": ("no record is a copy of another", record_sets.duplicates),
    "complete": ("a record has all fields of its kind", measurements.complete),
    "metrics": ("the task's metrics, within their ranges", measurements.metrics),
    "examples": ("results of all test examples, in order", measurements.examples),
    "size": ("parameters, MACs and bytes, as counted here", measurements.size),
    "training": ("steps and times agree", measurements.training),
    "dates": ("not before the schema, not in the future", environments.dates),
    "environment": ("machine, libraries, and a revision that others can obtain", environments.environment),
    "text": ("all texts are printable and short", environments.text),
    "weights": ("files match their hashes, their network and their record", weight_files.weights),
}


def validate(submission: Submission, suite: ClaimedSuite) -> Report:
    """Run all checks.

    Args:
        submission: What was read; if its files are unsafe nothing else is checked.
        suite: The suite that it claims to be of.
    """
    safe = not submission.files
    checks = [
        Check("files", FILES, submission.files[:MOST_VIOLATIONS]),
        Check("records", RECORDS, submission.problems[:MOST_VIOLATIONS], safe),
    ]
    for name, (rule, check) in CHECKS.items():
        violations = tuple(islice(check(submission, suite), MOST_VIOLATIONS)) if safe else ()
        checks.append(Check(name, rule, violations, safe))
    notes = submission.notes
    if safe:
        notes += (*record_sets.coverage(submission, suite), *weight_files.coverage(submission))
    counts = len(submission.records), len(submission.weights)
    return Report(str(submission.root), suite.suite.name, *counts, tuple(checks), notes)
