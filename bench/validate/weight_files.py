"""Checks of weights: each file belongs to one record, is whole, and fits the suite's network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from distillbench.bench.store.records import Record
from distillbench.bench.store.weights import DamagedError, digest, load_weights
from distillbench.bench.validate.claimed_suite import ClaimedSuite, untrained
from distillbench.bench.validate.submission import Submission
from distillbench.bench.validate.untrusted_text import counted
from distillbench.bench.validate.violations import Violation
from distillbench.common.errors import one_line


def weights(submission: Submission, suite: ClaimedSuite) -> Iterator[Violation]:
    """Violations of checksum, configuration, network or digest, and weights that occur twice."""
    owners = {record.weights_path: record for record in submission.students if record.status == "finished"}
    first_of: dict[str, Path] = {}
    for place in submission.weights:
        record = owners.get(place)
        if record is None:
            problem = "does not belong to a finished student of the submission"
            yield Violation("weights", str(place), "", problem)
        elif suite.pair(record) is not None:
            for problem in _problems(submission, record, place, suite, first_of):
                yield Violation("weights", str(place), "", problem)


def _problems(
    submission: Submission, record: Record, place: Path, suite: ClaimedSuite, first_of: dict[str, Path]
) -> Iterator[str]:
    """What is wrong with one file. first_of: files by pair and digest; this one is added."""
    try:
        stored, complete = stored_digest(submission, record, suite)
    except DamagedError as error:
        yield one_line(str(error)).removeprefix(f"{submission.root / place}: ")
        return
    if complete and stored != record.weights_sha256:
        yield f"does not match weights_sha256 of {record.path}"
    if (first := first_of.setdefault(f"{record.task}/{record.pair} {stored}", place)) != place:
        yield f"holds weights that are bit-identical to those of {first}"


def stored_digest(submission: Submission, record: Record, suite: ClaimedSuite) -> tuple[str, bool]:
    """The digest of a file of weights, loaded into the pair's untrained student.

    Args:
        submission: The submission.
        record: Of a finished student, of one of the suite's pairs.
        suite: The suite.

    Returns:
        The digest, and whether it is of the whole model: of a GAN only the generator is stored.

    Raises:
        DamagedError: The file cannot be used.
    """
    pair = suite.pair(record)
    assert pair is not None
    task, model = untrained(pair)
    part = task.deployed(model)
    path = submission.root / record.weights_path
    try:
        load_weights(path, part, record.config_hash)
    except DamagedError:
        raise
    except Exception as error:  # an untrusted file may make its reader fail in any way
        raise DamagedError(f"cannot be read as weights ({error})", path) from error
    return digest(part), part is model


def without_weights(submission: Submission) -> list[Record]:
    """Finished students without a file of weights: nobody can evaluate them again."""
    return [r for r in submission.students if r.status == "finished" and r.weights_path not in submission.weights]


def coverage(submission: Submission) -> Iterator[str]:
    """A note on students without weights."""
    if missing := without_weights(submission):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        students = counted(len(missing), "student")
        yield f"{students} without weights, which --rerun cannot evaluate: {missing[0].name}{more}"
