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
    "label_smoothing", "kl_warmup", "labels", "originals", "images", "transfer", "transfer_batch", "teacher_data",
    "train_on_validation",
})  # fmt: skip
"""Settings that decide how a network is trained and on what, and not what it is."""


def architecture(config: Mapping[str, Any], role: Role, size: Size | None) -> str:
    """The digest of a network as it is deployed: equal digests take equal time.

    It covers the code, the settings of the task and of the role except those of training (a scale, which is the task's,
    decides the size of the output), and all that is counted. Settings that do not matter may give one architecture two
    digests, but never two architectures one.

    Args:
        config: the configuration of a pair or a record.
        role: which of the pair's two networks.
        size: its parameters, MACs, bytes and input shape, where they were counted.
    """
    settings = _table(config.get("settings"))
    shared = {key: value for key, value in settings.items() if key not in {*ROLES, *OF_TRAINING}}
    recipe = {key: value for key, value in _table(settings.get(role)).items() if key not in OF_TRAINING}
    counted = None if size is None else size.model_dump(mode="json")
    code = config.get("code")
    return canonical_hash({"task": config["task"], "code": code, "of": [shared, recipe], "size": counted})


def _table(value: Any) -> Mapping[str, Any]:
    """A record that somebody else wrote may have anything in its place."""
    return value if isinstance(value, Mapping) else {}


def architecture_of(record: Record) -> str | None:
    """The architecture of a record's network; None where it has no network, or one that was not kept."""
    unsized = record.size is None and record.kind == "student"  # a trial; a teacher may run from a file of its own
    if record.kind == "baseline" or record.status == "failed" or unsized:
        return None
    return architecture(record.config, record.kind, record.size)
