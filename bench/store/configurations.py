"""Which records are of one configuration, and by what others differ: a row of a table is one configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.fingerprint import CODE, PREFIX
from distillbench.bench.store.records import Record
from distillbench.bench.store.terms import SECTIONS, Kind, Section

SCRATCH = "scratch"
FIRST = (SCRATCH, "scratch_long")
"""The controls that stand first: the student alone."""
OF_A_METHOD = frozenset({"method", "hyperparameters", "method_code", "self_teacher"})
"""Fields in which a student's configuration may differ from that of scratch, with which it is compared."""
DIGESTS = frozenset({"code", "method_code", "teacher", "self_teacher", "feature_extractor"})
"""Fields that show that something differs and not what: named only where nothing else differs."""
ABSENT = "absent"
PER_SEED = "per-seed"


@dataclass(frozen=True, eq=False)
class Group:
    """The records of one configuration, of any seed: a row of a table.

    Attributes:
        config: what the records share.
        difference: what distinguishes it from other groups of the same label; '' where there are none.
    """

    kind: Kind
    label: str
    config: Mapping[str, Any]
    records: tuple[Record, ...]
    difference: str = ""

    @cached_property
    def name(self) -> str:
        """The label, with '(pretrained)' and the difference where there is one."""
        marks = [*(["pretrained"] if self.pretrained else []), *([self.difference] if self.difference else [])]
        return f"{self.label} ({', '.join(marks)})" if marks else self.label

    @property
    def pretrained(self) -> bool:
        """Whether it is a teacher whose weights come from a file."""
        if self.kind != "teacher":
            return False
        settings = self.config.get("settings")
        recipe = flat(settings.get("teacher") if isinstance(settings, Mapping) else None)
        return any(str(value).startswith(PREFIX) for field, value in recipe.items() if field != f"network.{CODE}")

    @cached_property
    def control(self) -> bool:
        """Whether it is a control: one record that says so is enough, so that no control is ranked."""
        return any(record.control for record in self.records)

    @cached_property
    def finished(self) -> dict[int, Record]:
        """The finished records, by seed."""
        return {record.seed: record for record in self.records if record.status == "finished"}

    @cached_property
    def surroundings(self) -> dict[str, Any]:
        """All of the configuration but the method: two students can be compared where this is equal."""
        return {key: value for key, value in self.config.items() if key not in OF_A_METHOD}


def groups(records: Sequence[Record]) -> list[Group]:
    """The records of one pair, by configuration, in the order of a table."""
    learners: dict[str, set[int]] = {}
    for record in records:
        if record.kind == "student":
            learners.setdefault(str(record.config.get("teacher")), set()).add(record.seed)
    members: dict[tuple[Kind, str, str], list[Record]] = {}
    configs: dict[tuple[Kind, str, str], dict[str, Any]] = {}
    for record in sorted(records, key=lambda r: r.seed):
        config = {key: value for key, value in record.config.items() if key != "seed"}
        if record.trial is not None:  # measured on another split than what was not tuned with
            config["split"] = record.split
        if record.kind == "student" and len(learners[str(config.get("teacher"))]) == 1:
            config["teacher"] = PER_SEED  # which one follows from the seed and the other fields
            config |= {"self_teacher": PER_SEED} if "self_teacher" in config else {}
        key = record.kind, record.label, canonical_hash(config)
        members.setdefault(key, []).append(record)
        configs[key] = config
    result: list[Group] = []
    for kind, label in dict.fromkeys((kind, label) for kind, label, _ in members):
        keys = [key for key in members if key[:2] == (kind, label)]
        names = differences([configs[key] for key in keys])
        result += [Group(kind, label, configs[k], tuple(members[k]), n) for k, n in zip(keys, names, strict=True)]
    return sorted(result, key=lambda group: order(group.kind, group.control, group.label))


def section_of(kind: Kind, control: bool) -> Section:
    """The section of a table in which a row stands. control: whether it is a student of a control."""
    if kind == "student":
        return "control" if control else "method"
    return kind


def order(kind: Kind, control: bool, label: str) -> tuple[int, int, str]:
    """The key by which the rows of a table are sorted: by section; controls of the student alone first."""
    place = FIRST.index(label) if label in FIRST else len(FIRST)
    return SECTIONS.index(section_of(kind, control)), place, label


def differences(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """How each of several configurations differs: 'student.learning_rate 0.01, steps 100'; '' for a single one."""
    if len(configs) == 1:
        return [""]
    fields = differing(configs)
    texts = []
    for config in configs:
        values = {_short(field): value for field, value in flat(config).items() if field in fields}
        texts.append(", ".join(f"{field} {plain(values.get(field, ABSENT))}" for field in map(_short, fields[:3])))
    if len(fields) > 3 or len(set(texts)) < len(texts):
        texts = [f"{text}, … {canonical_hash(config)[:8]}" for text, config in zip(texts, configs, strict=True)]
    return texts


def differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The fields in which configurations differ, digests only where nothing else does."""
    tables = [flat(config) for config in configs]
    fields = sorted({field for table in tables for field in table})
    fields = [field for field in fields if len({repr(table.get(field, ABSENT)) for table in tables}) > 1]
    return [field for field in fields if field.rpartition(".")[2] not in DIGESTS] or fields


def named(fields: Sequence[str]) -> str:
    """A few fields as text: 'student.learning_rate, steps and 2 more'."""
    text = ", ".join(map(_short, fields[:3]))
    return f"{text} and {len(fields) - 3} more" if len(fields) > 3 else text


def flat(config: object, prefix: str = "") -> dict[str, object]:
    """Nested tables as one table with dotted keys: {'settings.student.steps': 100, ...}."""
    if not isinstance(config, Mapping) or not config:
        return {prefix: config}
    return {k: v for key, value in config.items() for k, v in flat(value, f"{prefix}.{key}" if prefix else key).items()}


def plain(value: object) -> str:
    """A value as a suite file has it, a long one shortened."""
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    text = f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
    return text if len(text) <= 24 else f"{text[:12]}…"


def _short(field: str) -> str:
    return field.removeprefix("settings.").removeprefix("hyperparameters.")
