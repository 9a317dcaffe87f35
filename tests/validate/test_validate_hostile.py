"""Hostile submissions: refused in plain lines, without breaking anything."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import save

from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.records import Record
from distillbench.bench.validate import submission
from distillbench.bench.validate.claimed_suite import ClaimedSuite
from distillbench.bench.validate.configuration import configuration
from distillbench.bench.validate.submission import Submission
from distillbench.bench.validate.untrusted_text import escaped
from distillbench.bench.validate.violations import Violation
from support.processes import Run
from support.submissions import PAIR, TASK, Content, Submitted, lines, refusing

Harm = Callable[[Submitted], object]


def written(text: str) -> Harm:
    return lambda submitted: submitted.place().write_text(text)


def linked(submitted: Submitted) -> None:
    submitted.place().unlink()
    submitted.place().symlink_to("/etc/passwd")


def linked_folder(submitted: Submitted) -> None:
    shutil.rmtree(submitted.root / "weights")
    (submitted.root / "weights").symlink_to("/")


def linked_beside(submitted: Submitted) -> None:
    (submitted.root / "README.md").symlink_to("/etc/hostname")


def waiting(submitted: Submitted) -> None:
    os.mkfifo(submitted.place(seed=9))


def large(submitted: Submitted) -> None:
    with submitted.place().open("wb") as file:
        file.truncate(submission.MOST_JSON + 1)


def large_weights(submitted: Submitted) -> None:
    with submitted.weights().open("wb") as file:
        file.truncate(submission.MOST_WEIGHTS + 1)


def pickled(submitted: Submitted) -> None:
    torch.save({}, submitted.weights().with_suffix(".pt"))


def repeated_field(submitted: Submitted) -> None:
    text = submitted.place().read_text()
    submitted.place().write_text('{"primary_metric": "ece", ' + text.lstrip()[1:])


def deep_settings(submitted: Submitted) -> None:
    def change(content: Content) -> None:
        inner: dict[str, Any] = {}
        for _ in range(300):
            inner = {"a": inner}
        content["config"]["settings"]["more"] = inner

    submitted.edit(change)


UNREADABLE: dict[str, tuple[Harm, str]] = {
    "a link to a file": (linked, "is a link (allowed: files and folders)"),
    "a link to a folder": (linked_folder, "files: weights: is a link"),
    "a link in what is not read": (linked_beside, "files: README.md: is a link"),
    "a pipe that never ends": (waiting, "is not a regular file"),
    "too large a record": (large, "20,971,521 bytes (allowed: at most 20,971,520)"),
    "too large weights": (large_weights, "268,435,457 bytes"),
    "a pickle": (pickled, "seed-0.pt: has the wrong type for weights/ (allowed: *.safetensors)"),
    "tables without end": (written("[" * 100_000), "is nested too deeply"),
    "lists without end": (written('{"a": ' + "[" * 500 + "]" * 500 + "}"), "is nested too deeply"),
    "a deep configuration": (deep_settings, "is nested too deeply"),
    "a field twice": (repeated_field, "primary_metric: occurs twice in one table"),
    "no text": (lambda s: s.place().write_bytes(b"\xff\xfe\x00"), "cannot be read as JSON in UTF-8"),
    "no JSON": (written("{"), "cannot be read as JSON in UTF-8"),
    "a number of a million digits": (written('{"a": ' + "1" * 1_000_000 + "}"), "cannot be read as JSON"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_files_that_may_not_be_opened_are_refused(submitted: Submitted, claimed: ClaimedSuite, name: str) -> None:
    harm, reason = UNREADABLE[name]
    harm(submitted)
    report = submitted.validated(claimed)
    assert refusing(report) == {"files"}
    assert reason in lines(report)
    assert not any(check.ran for check in report.checks if check.name != "files")


def test_too_many_files_are_refused(
    submitted: Submitted, claimed: ClaimedSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "MOST_FILES", 20)
    assert "contains too many files (allowed: 20)" in lines(submitted.validated(claimed))


def test_a_folder_that_is_a_link_is_refused(submitted: Submitted, claimed: ClaimedSuite, tmp_path: Path) -> None:
    """In a pull request it would be somebody else's results."""
    (tmp_path / "link").symlink_to(submitted.root)
    assert "is a link (allowed: a folder)" in lines(Submitted(tmp_path / "link").validated(claimed))


TEXTS = {
    "a tag": "<script>alert(1)</script>",
    "a way out": "../../../../tmp/x",
    "from right to left": "abc\u202egnp.exe",
    "an escape sequence": "\x1b[2J\x1b]0;owned\x07",
    "a line end": "one\ntwo: passed",
    "markup of the terminal": "[red]passed[/red]",
    "half a character": "\ud800",
    "a million letters": "x" * 1_000_000,
}
PLACES: dict[str, Callable[[Content, str], object]] = {
    "label": lambda content, text: (content.update(label=text), content["config"].update(method=text)),
    "task": lambda content, text: (content.update(task=text), content["config"].update(task=text)),
    "pair": lambda content, text: content.update(pair=text),
    "warnings": lambda content, text: content.update(warnings=[text]),
    "a hyperparameter": lambda content, text: content["config"]["hyperparameters"].update({text: 1}),
    "a setting": lambda content, text: content["config"]["settings"].update({text: text}),
    "a metric": lambda content, text: content["metrics"].update({text: content["metrics"]["ece"]}),
    "a note": lambda content, text: content["metrics"]["ece"].update(note=text),
    "an item": lambda content, text: content.update(example_names=[text, *content["example_names"][1:]]),
    "the machine": lambda content, text: content["environment"].update(cpu=text, **{text: text}),
    "the revision": lambda content, text: content.update(revision=text),
}
HARMLESS = {(place, text) for place in ("warnings", "the machine") for text in ("a tag", "a way out")} | {
    ("warnings", "markup of the terminal")
}
"""Plain short words: whoever shows them has to escape them, as all of a record."""


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("place", PLACES)
def test_hostile_texts_are_refused_in_plain_lines(
    submitted: Submitted, claimed: ClaimedSuite, place: str, text: str
) -> None:
    content = submitted.load()
    PLACES[place](content, TEXTS[text])
    content["config_hash"] = canonical_hash(content["config"])
    submitted.place().write_text(json.dumps(content))  # where it was: its own place may be out of the folder
    report = submitted.validated(claimed)
    assert report.violations or (place, text) in HARMLESS
    for violation in report.violations:
        assert str(violation).isprintable()
        assert len(str(violation)) < 2_000


def test_hostile_names_of_files_are_shown_escaped(submitted: Submitted, claimed: ClaimedSuite) -> None:
    folder_ = submitted.place().parent
    for name in ("a\nb.json", "\u202egnp.json", "\x1b[2J.json", os.fsdecode(b"\xff.json")):
        shutil.copy(submitted.place(), folder_ / name)
    text = lines(submitted.validated(claimed))
    for name in ("a\\nb.json", "\\u202egnp.json", "\\x1b[2J.json", "\\udcff.json"):
        assert name in text


def test_the_command_reports_it_in_lines_without_a_traceback(cli: Run, submitted: Submitted, tiny_suite: Path) -> None:
    submitted.edit(lambda c: c.update(warnings=["\u202e\x1b[2J[red]x[/red]" + "y" * 1_000_000]))
    submitted.place(seed=1).write_text("[" * 100_000)
    for harmed in (submitted, None):
        done = cli("validate", submitted.root, "--suite", tiny_suite, "--verbose")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr + done.stdout
        assert "\u202e" not in done.stdout
        assert "\x1b" not in done.stdout
        assert len(done.stdout) < 20_000
        if harmed:  # then without the one that kept all others from being read
            submitted.place(seed=1).unlink()


def test_weights_of_odd_types_are_refused(submitted: Submitted, claimed: ClaimedSuite) -> None:
    odd = {"a": torch.zeros(2, dtype=torch.bool), "b": torch.zeros(0), "c": torch.zeros(3, dtype=torch.float16)}
    for metadata in (None, {"of": "x"}, {"sha256": "x"}):
        submitted.weights().write_bytes(save(odd, metadata))
        assert refusing(submitted.validated(claimed)) == {"weights"}
    submitted.keep(odd, "mimic", 0, submitted.load()["config_hash"])
    assert "holds the weights of another network" in lines(submitted.validated(claimed))


def test_a_header_that_lies_about_its_length_is_refused(submitted: Submitted, claimed: ClaimedSuite) -> None:
    submitted.weights().write_bytes((2**62).to_bytes(8, "little") + b"{}")
    assert refusing(submitted.validated(claimed)) == {"weights"}


@given(st.text(max_size=400))
def test_untrusted_text_is_shown_as_one_printable_line(text: str) -> None:
    assert escaped(text).isprintable()
    assert str(Violation("x", text, text, text, text)).isprintable()


def leaves(table: dict[str, Any], before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every value, and of every table."""
    paths = []
    for key, value in table.items():
        paths.append((*before, key))
        if isinstance(value, dict):
            paths += leaves(value, (*before, key))
    return paths


# -- no value in a record breaks validation ----------------------------------------------------------------

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**400), 10**400),
    st.sampled_from([10**4000, -(10**4000), 1e308, -0.0, 1e-320, "", "\ud800", [], {}, [[]], {"": {"": []}}]),
    st.text(max_size=20),
    st.floats(allow_subnormal=False),
    st.lists(st.one_of(st.none(), st.floats(allow_subnormal=False), st.text(max_size=3)), max_size=4),
    st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.floats(allow_subnormal=False)), max_size=3),
)


def forged_hash(config: object) -> str:
    """The hash of any configuration, even with numbers that are not finite."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def put(content: Content, path: Sequence[str], value: object, mend: bool = True) -> None:
    holder = content
    for part in path[:-1]:
        holder = holder[part]
    holder[path[-1]] = value
    if mend:
        content["config_hash"] = forged_hash(content["config"])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_value_breaks_validation(submitted: Submitted, claimed: ClaimedSuite, data: st.DataObject) -> None:
    before = submitted.place().read_text()
    content = json.loads(before)
    put(content, data.draw(st.sampled_from(leaves(content))), data.draw(ODD), mend=data.draw(st.booleans()))
    try:
        submitted.place().write_text(json.dumps(content))
        report = submitted.validated(claimed)
    finally:
        submitted.place().write_text(before)
    assert all(str(violation).isprintable() for violation in report.violations)


@pytest.mark.parametrize(
    ("path", "value", "check"),
    [
        (("training", "steps"), 10**4000, "records"),
        (("examples",), {}, "examples"),
        (("examples", "accuracy"), [1e308] * 500, "records"),
        (("training", "seconds"), 1e-320, "training"),
        (("created",), "0001-01-01T00:00:00+23:59", "dates"),
        (("training", "seconds"), math.inf, "records"),
        (("config", "version"), [math.inf], "records"),
        (("config", "hyperparameters", "weight"), -math.inf, "records"),
        (("config", "settings", "student"), {"steps": math.nan}, "records"),
        (("config", "settings"), [], "configuration"),
        (("config", "teacher"), [{}], "configuration"),
        (("environment", "cores"), math.inf, "records"),
        (("environment", "libraries", "torch"), [math.nan], "records"),
    ],
)
@pytest.mark.parametrize("mend", [False, True])
def test_values_that_break_arithmetic_are_refused(
    submitted: Submitted, claimed: ClaimedSuite, path: tuple[str, ...], value: object, check: str, mend: bool
) -> None:
    content = submitted.load()
    put(content, path, value, mend)
    submitted.place().write_text(json.dumps(content))
    another_hash = path[0] == "config" and not mend
    assert ("records" if another_hash else check) in refusing(submitted.validated(claimed))


def test_a_table_of_a_million_names_is_answered(submitted: Submitted, claimed: ClaimedSuite) -> None:
    many = {f"{i}": 0 for i in range(500_000)}
    submitted.edit(lambda content: content["environment"].update(many))
    report = submitted.validated(claimed)
    assert refusing(report) == {"environment"}
    assert len(report.violations) == 1_000


# -- any change of a configuration is detected ------------------------------------------------------------------------

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 5000),
    st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
    st.text(),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("contributed", [False, True])
def test_any_other_configuration_is_refused(
    honest: Submitted, claimed: ClaimedSuite, contributed: bool, data: st.DataObject
) -> None:
    content = honest.load()
    if contributed:
        content["label"] = content["config"]["method"] = "novel"
    before = deepcopy(content["config"])
    free = {"hyperparameters", "method_code"} if contributed else set()
    path = data.draw(st.sampled_from([path for path in leaves(before) if path[0] not in free]))
    holder = content["config"]
    for part in path[:-1]:
        holder = holder[part]
    match data.draw(st.sampled_from(["changed", "removed", "added"])):
        case "changed":
            holder[path[-1]] = data.draw(VALUES)
        case "removed":
            del holder[path[-1]]
        case _:
            holder[data.draw(st.text())] = data.draw(VALUES)
    assume(canonical_hash(content["config"]) != canonical_hash(before))
    content["config_hash"] = canonical_hash(content["config"])
    try:
        record = Record.model_validate(content)
    except ValidationError:  # it does not even agree with itself
        return
    violations = list(configuration(Submission(honest.root, (record,)), claimed))
    assert violations
    assert all(TASK in violation.file and PAIR in violation.file for violation in violations)
