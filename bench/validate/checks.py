"""Everything that can be said of a submission without running it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from distillbench.bench.validate import configuration, environments, measurements, weight_files
from distillbench.bench.validate.claim import Claim
from distillbench.bench.validate.findings import Check, Finding, Report
from distillbench.bench.validate.folder import Submission

MOST = 1_000
"""Findings of one check: a record may hold a million fields that are none."""
FILES = "plain files and folders, no links, of a sensible size and depth"
RECORDS = "each record can be read, lies in its place and agrees with itself: hash, means of examples"
CHECKS: Mapping[str, tuple[str, Callable[[Submission, Claim], Iterator[Finding]]]] = {
    "configuration": ("the suite's own: steps, data, split, networks, code", configuration.configuration),
    "labels": ("methods have names of their own", configuration.labels),
    "seeds": ("every seed of the suite", configuration.seeds),
    "expected": ("all that the run was to make", configuration.expected),
    "duplicates": ("no record is a copy of another", configuration.duplicates),
    "complete": ("a record has all that its kind has", measurements.complete),
    "metrics": ("the task's metrics, inside their ranges", measurements.metrics),
    "examples": ("the results of all test examples, in order", measurements.examples),
    "size": ("parameters, MACs and bytes, counted here", measurements.size),
    "training": ("steps and times agree", measurements.training),
    "dates": ("not before the schema, not in the future", environments.dates),
    "environment": ("machine, libraries, and a revision that can be had again", environments.environment),
    "text": ("every text is plain and short", environments.text),
    "weights": ("files match their hashes, their network and their record", weight_files.weights),
}


def validate(submission: Submission, claim: Claim) -> Report:
    """All checks. Where the files themselves are not plain nothing is read, and nothing else is checked."""
    safe = not submission.files
    checks = [
        Check("files", FILES, submission.files[:MOST]),
        Check("records", RECORDS, submission.problems[:MOST], safe),
    ]
    for name, (what, check) in CHECKS.items():
        checks.append(Check(name, what, tuple(islice(check(submission, claim), MOST)) if safe else (), safe))
    notes = submission.notes
    if safe:
        notes += (*configuration.coverage(submission, claim), *weight_files.coverage(submission))
    return Report(
        str(submission.root),
        claim.suite.name,
        len(submission.records),
        len(submission.weights),
        tuple(checks),
        notes,
    )
