"""Which records and timings are of one architecture: two networks that take the same time, whatever their weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from bench.documents import canonical_hash
from bench.records import Record, Size

OF_TRAINING = frozenset({"steps", "learning_rate", "weight_decay", "betas", "augment"})
"""What of a role's settings says how it is trained, and not what it is."""


def architecture(config: Mapping[str, Any], role: Literal["teacher", "student"], size: Size) -> str:
    """The digest of what is deployed, for one input.

    config: of a pair or record. It is of the code, the role's settings but those of training, and all that is counted:
    parameters, MACs, bytes and the shape of an input.
    """
    settings = config.get("settings", {}).get(role, {})
    network = {key: value for key, value in settings.items() if key not in OF_TRAINING}
    return canonical_hash(
        {"task": config["task"], "code": config["code"], "network": network, "size": size.model_dump(mode="json")}
    )


def architecture_of(record: Record) -> str | None:
    """Of a student's or teacher's record; None where there is no network, or it was not sized."""
    if record.kind == "reference" or record.size is None:
        return None
    return architecture(record.config, record.kind, record.size)
