"""Which records and timings are of one architecture: two networks that take the same time, whatever their weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.records import Record, Size
from distillbench.tasks.networks.interfaces import ROLES, Role

OF_TRAINING = frozenset({
    "steps", "epochs", "batch_size", "optimiser", "learning_rate", "weight_decay", "betas", "momentum", "nesterov",
    "schedule", "milestones", "gamma", "warmup", "precision", "augment", "weights", "weights_key",
    "label_smoothing",
})  # fmt: skip
"""Settings that say how a network is trained, and not what it is."""


def architecture(config: Mapping[str, Any], role: Role, size: Size | None) -> str:
    """The digest of what is deployed, for one input.

    config: of a pair or record. It is of the code, of the settings of the task and of the role but those of training
    (a scale, which is the task's, decides the size of the output), and of all that is counted: parameters, MACs, bytes
    and the shape of an input. Settings that do not matter make two of what could be one, and never one of two.
    """
    settings = _table(config.get("settings"))
    shared = {key: value for key, value in settings.items() if key not in {*ROLES, *OF_TRAINING}}
    own = {key: value for key, value in _table(settings.get(role)).items() if key not in OF_TRAINING}
    counted = None if size is None else size.model_dump(mode="json")
    code = config.get("code")
    return canonical_hash({"task": config["task"], "code": code, "of": [shared, own], "size": counted})


def _table(value: Any) -> Mapping[str, Any]:
    """A record that somebody else wrote may have anything in its place."""
    return value if isinstance(value, Mapping) else {}


def architecture_of(record: Record) -> str | None:
    """Of a student's or teacher's record; None where there is no network, or none that was kept."""
    unsized = record.size is None and record.kind == "student"  # a trial; a teacher may run from a file of its own
    if record.kind == "baseline" or record.status == "failed" or unsized:
        return None
    return architecture(record.config, record.kind, record.size)
