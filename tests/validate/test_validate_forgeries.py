"""Forgeries that records and files alone reveal, each with the check that refuses it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from safetensors.torch import load_file

from distillbench.bench.validate.claimed_suite import ClaimedSuite
from support.submissions import PAIR, TASK, Content, Submitted, lines, refusing, shift

Forge = Callable[[Submitted], object]


@dataclass(frozen=True)
class Forgery:
    """forge: makes it. check: which check detects it. message: a part of the violation."""

    forge: Forge
    check: str
    message: str


def edited(change: Callable[[Content], object], mend: bool = True) -> Forge:
    return lambda submitted: submitted.edit(change, mend=mend)


def everywhere(change: Callable[[Content], object]) -> Forge:
    return lambda submitted: submitted.everywhere(change)


def put(content: Content, *path: str, value: object) -> None:
    for part in path[:-1]:
        content = content[part]
    content[path[-1]] = value


def setting(*path: str, value: object) -> Forge:
    return edited(lambda content: put(content, "config", *path, value=value))


def field(*path: str, value: object) -> Forge:
    return edited(lambda content: put(content, *path, value=value))


def swapped(submitted: Submitted) -> None:
    shutil.copy(submitted.weights(seed=1), submitted.weights(seed=0))


def swapped_and_mended(submitted: Submitted, record_too: bool = False) -> None:
    state, content = load_file(submitted.weights(seed=1)), submitted.load()
    sha = submitted.keep(state, "mimic", 0, content["config_hash"])
    if record_too:
        submitted.edit(lambda content: content.update(weights_sha256=sha))


def another_network(submitted: Submitted) -> None:
    state = load_file(submitted.weights())
    state = {name: tensor[:1] for name, tensor in state.items()}
    submitted.keep(state, "mimic", 0, submitted.load()["config_hash"])


def dropped_and_forgotten(submitted: Submitted) -> None:
    """A seed taken out, and out of the list of what was to be made."""
    submitted.drop(seed=2)
    path = submitted.root / "expected.json"
    cells = [cell for cell in json.loads(path.read_text()) if (cell["label"], cell["seed"]) != ("mimic", 2)]
    path.write_text(json.dumps(cells))


def whole_row_dropped(submitted: Submitted) -> None:
    for seed in (0, 1, 2):
        submitted.drop(seed=seed)


def copied(label: str, seed: int) -> Forge:
    def forge(submitted: Submitted) -> None:
        """A record once more, as another seed's or method's, its hash mended."""
        target = submitted.load(label, seed)
        content = submitted.load()
        for key in ("label", "seed"):
            content[key] = target[key]
        content["config"], content["config_hash"] = target["config"], target["config_hash"]
        submitted.place(label, seed).write_text(json.dumps(content))

    return forge


def of_another_suite(submitted: Submitted) -> None:
    """All of a run with half the steps, under this one's name."""

    def change(content: Content) -> None:
        content["training"]["steps"] = content["config"]["settings"]["student"]["steps"] = 4

    for seed in (0, 1, 2):
        submitted.edit(change, seed=seed)


def without_examples(content: Content) -> None:
    content["examples"], content["example_names"] = {}, []
    content["metrics"]["accuracy"]["value"] = 99.0


def fewer_examples(content: Content) -> None:
    """The easiest tenth of the test split."""
    best = sorted(range(len(content["example_names"])), key=lambda i: content["examples"]["nll"][i])[:50]
    content["example_names"] = [content["example_names"][i] for i in best]
    for name, values in content["examples"].items():
        content["examples"][name] = [values[i] for i in best]
        content["metrics"][name]["value"] = sum(content["examples"][name]) / 50


def impossible(content: Content) -> None:
    shift(content, "accuracy", 30.0)


def quicker(content: Content) -> None:
    curve = content["training"]["curve"]
    curve["seconds"] = [second / 2 for second in curve["seconds"]]


def best_points(content: Content) -> None:
    """The second half of a curve alone."""
    curve = content["training"]["curve"]
    for name in ("steps", "loss", "validation", "seconds"):
        curve[name] = curve[name][4:]


def failed_but_measured(content: Content) -> None:
    content["status"], content["failure"] = "failed", {"reason": "none"}


def as_trial(content: Content) -> None:
    content["trial"] = 1


def in_days(days: float) -> Forge:
    return field("created", value=(datetime.now(UTC) + timedelta(days=days)).isoformat())


def contributed(as_: str, jitter: bool = True) -> Forge:
    return lambda submitted: submitted.renamed("mimic", as_, jitter)


def contributed_with_more_steps(submitted: Submitted) -> None:
    submitted.renamed("mimic", "novel")
    submitted.edit(lambda content: put(content, "config", "settings", "student", "steps", value=80), "novel")


def contributed_in_two_versions(field_: str, value: object) -> Forge:
    """A method whose seeds are not of one configuration."""

    def forge(submitted: Submitted) -> None:
        submitted.renamed("mimic", "novel")
        submitted.edit(lambda content: put(content, "config", field_, value=value), "novel", seed=1)

    return forge


def weights_of_nothing(submitted: Submitted) -> None:
    submitted.weights("stranger").parent.mkdir(parents=True)
    shutil.copy(submitted.weights(), submitted.weights("stranger"))


STUDENT, SHA = ("settings", "student"), "ab" * 32
FORGERIES: dict[str, Forgery] = {
    # -- measurements
    "a metric, not its examples": Forgery(
        field("metrics", "accuracy", "value", value=99.0), "records", "mean of its examples"
    ),
    "a metric, its examples taken away": Forgery(edited(without_examples), "examples", "is the mean of its examples"),
    "only the easiest examples": Forgery(
        edited(fewer_examples), "examples", "50 examples (allowed: the 500 of the test split"
    ),
    "examples of other names": Forgery(
        edited(lambda c: c["example_names"].reverse()), "examples", "allowed: the test split's, in order"
    ),
    "more than all right": Forgery(edited(impossible), "examples", "is out of range (allowed: 0 to 100)"),
    "a negative error": Forgery(field("metrics", "ece", "value", value=-1.0), "metrics", "allowed: 0 to 100"),
    "a validation metric out of range": Forgery(
        field("validation", "accuracy", value=101), "metrics", "validation.accuracy"
    ),
    "a metric left out": Forgery(edited(lambda c: c["metrics"].pop("ece")), "metrics", "metrics.ece: is missing"),
    "a metric of its own": Forgery(
        edited(lambda c: c["metrics"].update(wins=c["metrics"]["ece"])), "metrics", "metrics.wins: is not a metric"
    ),
    "worse is better, in one": Forgery(field("metrics", "nll", "direction", value="higher"), "records", "direction"),
    "worse is better, in all": Forgery(
        everywhere(lambda c: "nll" in c["metrics"] and put(c, "metrics", "nll", "direction", value="higher")),
        "metrics",
        "metrics.nll.direction: 'higher', but the task has 'lower'",
    ),
    "another primary_metric, in all": Forgery(
        everywhere(lambda c: put(c, "primary_metric", value="ece")), "metrics", "primary_metric"
    ),
    "markup as a note": Forgery(
        field("metrics", "ece", "note", value="<script>alert(1)</script>"), "metrics", "metrics.ece.note"
    ),
    "a smaller network": Forgery(field("size", "parameters", value=7), "size", "size.parameters: 7, but"),
    "fewer operations": Forgery(field("size", "macs", value=7), "size", "size.macs"),
    "faster training": Forgery(field("training", "seconds", value=1e-3), "training", "images_per_second"),
    "a curve whose seconds fall": Forgery(
        edited(lambda c: c["training"]["curve"]["seconds"].__setitem__(0, 1e9)), "records", "fall from one point"
    ),
    "a curve without time": Forgery(
        field("training", "curve", "seconds", value=[0.0] * 8), "records", "training.curve.seconds.0: 0.0 is out of"
    ),
    "a curve with fewer seconds than points": Forgery(
        edited(lambda c: c["training"]["curve"]["seconds"].pop()), "records", "are not of one length"
    ),
    "a curve whose steps fall": Forgery(
        edited(lambda c: c["training"]["curve"]["steps"].reverse()), "records", "training.curve.steps: do not rise"
    ),
    "a quicker curve": Forgery(edited(quicker), "training", "training.curve.seconds: end at"),
    "a curve with only its best points": Forgery(
        edited(best_points), "training", "are not the points of a training of 8 steps (allowed: 8, from 1 to 8)"
    ),
    "a curve of more than all right": Forgery(
        edited(lambda c: c["training"]["curve"]["validation"].__setitem__(0, 101.0)),
        "metrics",
        "training.curve.validation: 101 is out of range (allowed: 0 to 100)",
    ),
    "a curve of other images": Forgery(
        field("training", "curve", "of", value="easy images"), "training", "training.curve.of: 'easy images', but"
    ),
    "fewer steps than asked": Forgery(
        field("training", "steps", value=7), "training", "training.steps: 7, but the suite has 8"
    ),
    # -- configuration
    "a setting, not its hash": Forgery(
        edited(lambda c: put(c, "config", *STUDENT, "steps", value=80), mend=False), "records", "is not the hash"
    ),
    "more steps": Forgery(setting(*STUDENT, "steps", value=80), "configuration", "80, but the suite has 8"),
    "the records of another suite": Forgery(
        of_another_suite, "configuration", "settings.student.steps: 4, but the suite has 8"
    ),
    "a wider network": Forgery(setting(*STUDENT, "network", "hidden", value=[64]), "configuration", "network.hidden"),
    "more labels": Forgery(setting("settings", "labels", value=1000), "configuration", "settings.labels: 1000"),
    "the test data as training data": Forgery(
        setting("data", value={"train": SHA, "validation": SHA, "test": SHA}), "configuration", "config.data"
    ),
    "another device": Forgery(
        setting("device", value="cuda"), "configuration", "config.device: cuda, but the suite has cpu"
    ),
    "other code of the task": Forgery(setting("code", value=SHA), "configuration", "config.code"),
    "other code of an official method": Forgery(setting("method_code", value=SHA), "configuration", "method_code"),
    "other hyperparameters": Forgery(
        setting("hyperparameters", "weight", value=3.0), "configuration", "weight: 3, but"
    ),
    "another teacher": Forgery(setting("teacher", value=SHA), "configuration", "config.teacher"),
    "a setting more": Forgery(setting("settings", "secret", value=1), "configuration", "config.settings.secret"),
    "the same in another form": Forgery(
        edited(lambda c: put(c, "config", "settings", value={"student.steps": 8} | c["config"]["settings"])),
        "configuration",
        "is written in a different form",
    ),
    "teachers one a seed": Forgery(field("teachers", value="per-seed"), "configuration", "teachers: 'per-seed'"),
    "another teacher's seed": Forgery(
        field("teacher_seed", value=5), "configuration", "teacher_seed: 5, but the suite has 0"
    ),
    "a control as a method": Forgery(
        field("control", value=False), "configuration", "control: False, but the suite has True"
    ),
    "hyperparameters as if they were usual": Forgery(
        field("defaults", value=["weight"]), "configuration", "defaults: ('weight',), but the suite has"
    ),
    "a pair that is none": Forgery(field("pair", value="cnn_mpl"), "configuration", "did you mean 'cnn_mlp'?"),
    "a trial of tuning": Forgery(edited(as_trial), "configuration", "trial: 1"),
    "a method of its own, trained longer": Forgery(
        contributed_with_more_steps, "configuration", "80, but the suite has 8"
    ),
    "hyperparameters of one seed": Forgery(
        contributed_in_two_versions("hyperparameters", {"strength": 9}),
        "configuration",
        "hyperparameters: differs from that of",
    ),
    "code of one seed": Forgery(
        contributed_in_two_versions("method_code", "cd" * 32), "configuration", "method_code: differs from that of"
    ),
    "hyperparameters that are none": Forgery(
        contributed_in_two_versions("hyperparameters", "many"), "configuration", "hyperparameters: is not a table"
    ),
    "code that is no digest": Forgery(
        contributed_in_two_versions("method_code", "mine"), "configuration", "is not a digest"
    ),
    # -- which records
    "a seed dropped": Forgery(lambda s: s.drop(seed=2), "seeds", "2 missing (allowed: all of 0, 1 and 2)"),
    "a seed dropped and forgotten": Forgery(dropped_and_forgotten, "seeds", "2 missing"),
    "a method dropped after the run": Forgery(
        whole_row_dropped, "expected", f"{TASK}/{PAIR}/mimic/seed 0, whose record is missing"
    ),
    "a seed more": Forgery(
        edited(lambda c: (put(c, "seed", value=7), put(c, "config", "seed", value=7))),
        "configuration",
        "7 is not a seed",
    ),
    "one record as two seeds": Forgery(copied("mimic", 1), "duplicates", "in every digit"),
    "one record as two methods": Forgery(copied("scratch", 0), "duplicates", "in every digit"),
    "an official method under another name": Forgery(
        contributed("novel", jitter=False), "duplicates", "in every digit"
    ),
    "a record in another's place": Forgery(
        lambda s: shutil.copy(s.place(seed=1), s.place(seed=0)), "records", "holds the record of"
    ),
    "a failure with metrics": Forgery(edited(failed_but_measured), "complete", "metrics: is not allowed in a failed"),
    "a result without its size": Forgery(field("size", value=None), "complete", "size: is missing"),
    # -- names
    "the name of another, in capitals": Forgery(contributed("Mimic"), "labels", "'Mimic' can be mistaken for 'mimic'"),
    "the name of another, another sign": Forgery(
        contributed("cross-model"), "labels", "can be mistaken for 'cross_model'"
    ),
    "the name of another, other letters": Forgery(contributed("mim\u0456c"), "labels", "is not a valid name"),
    "the name of the teacher": Forgery(contributed("teacher"), "labels", "can be mistaken for 'teacher'"),
    "the name of a baseline": Forgery(contributed("baseline-x"), "labels", "can be mistaken for a baseline"),
    "the name of a method that ships": Forgery(
        contributed("random_teacher"), "configuration", "is not that of the built-in method 'random_teacher'"
    ),
    "a name that is a tag": Forgery(contributed("<script>"), "labels", "is not a valid name"),
    # -- environment
    "a date to come": Forgery(in_days(3), "dates", "is impossible"),
    "a date before the schema": Forgery(field("created", value="2020-01-01T00:00:00Z"), "dates", "is impossible"),
    "a date of no zone": Forgery(field("created", value="2026-11-25T12:00:00"), "dates", "no time zone"),
    "no machine": Forgery(edited(lambda c: c["environment"].pop("cpu")), "environment", "cpu: is missing"),
    "no version of torch": Forgery(
        edited(lambda c: c["environment"]["libraries"].pop("torch")), "environment", "libraries.torch: is missing"
    ),
    "a processor in a word": Forgery(
        edited(lambda c: c["environment"].update(processor="fast")), "environment", "processor: 'fast' is not a table"
    ),
    "a processor with more than there is": Forgery(
        edited(lambda c: c["environment"]["processor"].update(speed="9")),
        "environment",
        "processor.speed: is not a known field",
    ),
    "no share of the cores": Forgery(
        edited(lambda c: c["environment"].update(quota=0)), "environment", "quota: 0 is not a number of cores"
    ),
    "code that is not committed": Forgery(field("revision", value=f"{SHA[:40]}-dirty"), "environment", "-dirty"),
    # -- weights
    "weights of another seed": Forgery(swapped, "weights", "holds the weights of another configuration"),
    "the same, their file mended": Forgery(swapped_and_mended, "weights", "does not match weights_sha256"),
    "the same, the record mended too": Forgery(
        lambda s: swapped_and_mended(s, record_too=True), "duplicates", "weights_sha256: identical to that of"
    ),
    "weights of another network": Forgery(another_network, "weights", "holds the weights of another network"),
    "damaged weights": Forgery(lambda s: s.weights().write_bytes(s.weights().read_bytes()[:-9]), "weights", "cannot"),
    "weights of no record": Forgery(weights_of_nothing, "weights", "does not belong to a finished student"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_refused(submitted: Submitted, claimed: ClaimedSuite, name: str) -> None:
    forgery = FORGERIES[name]
    forgery.forge(submitted)
    report = submitted.validated(claimed)
    assert report.exit_code == 1
    assert forgery.check in refusing(report), lines(report)
    assert forgery.message in lines(report)


def test_what_is_not_forged_is_not_refused(submitted: Submitted, claimed: ClaimedSuite) -> None:
    assert submitted.validated(claimed).violations == ()
