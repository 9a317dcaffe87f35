"""Checks of weights: each file is of a record, whole, of the suite's network, and of that record alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from distillbench.bench.store.records import Record
from distillbench.bench.store.weights import DamagedError, digest, load_weights
from distillbench.bench.validate.claim import Claim, untrained
from distillbench.bench.validate.findings import Finding, counted
from distillbench.bench.validate.folder import Submission
from distillbench.common.errors import one_line


def weights(submission: Submission, claim: Claim) -> Iterator[Finding]:
    """Checksum, configuration and network of every file, and its digest where the record's is of all that is kept."""
    owners = {record.weights_path: record for record in submission.students if record.status == "finished"}
    seen: dict[str, Path] = {}
    for place in submission.weights:
        if (record := owners.get(place)) is None:
            yield Finding("weights", str(place), "", "is of no finished student of the submission")
            continue
        if claim.pair(record) is None:
            continue
        try:
            found, whole = kept(submission, record, claim)
        except DamagedError as error:
            yield Finding("weights", str(place), "", one_line(error.problem))
            continue
        if whole and found != record.weights_sha256:
            yield Finding("weights", str(place), "", f"is not of weights_sha256 of {record.path}")
        key = f"{record.task}/{record.pair} {found}"
        if (first := seen.setdefault(key, place)) != place:
            yield Finding("weights", str(place), "", f"holds the weights of {first}, to the bit")


def kept(submission: Submission, record: Record, claim: Claim) -> tuple[str, bool]:
    """The digest of a file of weights, and whether that is all of the model: of a GAN only the generator is kept.

    They are loaded into the pair's untrained student. Raises DamagedError for a file that cannot be used.
    """
    pair = claim.pair(record)
    assert pair is not None
    task, model = untrained(pair)
    part = task.deployed(model)
    path = submission.root / record.weights_path
    try:
        load_weights(path, part, record.config_hash)
    except DamagedError:
        raise
    except Exception as error:  # a file from anywhere, in the hands of other people's readers
        raise DamagedError(f"cannot be read as weights ({error})", path) from error
    return digest(part), part is model


def unkept(submission: Submission) -> list[Record]:
    """Finished students whose weights are not there: nobody can evaluate them again."""
    return [r for r in submission.students if r.status == "finished" and r.weights_path not in submission.weights]


def coverage(submission: Submission) -> Iterator[str]:
    if missing := unkept(submission):
        these = f"{counted(len(missing), 'student')} without weights, which --rerun cannot look at"
        yield f"{these}: {missing[0].name}" + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
