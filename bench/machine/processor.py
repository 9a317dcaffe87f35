"""The identity of a processor: many of one name differ in their instructions, and so in times and in last digits."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from distillbench.bench.machine.limits import ROOT, text_of

IDENTITY = ("cpu", "machine", "processor")
"""Fields of an environment that must be equal for times, 8-bit qualities and last digits to be compared."""
NUMBERS = {
    "cpu family": "family",
    "model": "model",
    "stepping": "stepping",
    "CPU implementer": "implementer",
    "CPU variant": "variant",
    "CPU part": "part",
    "CPU revision": "revision",
}
"""Fields of /proc/cpuinfo, on x86 and on Arm, beside the name: clouds call many processors 'AMD EPYC'."""
INSTRUCTIONS = frozenset(
    {"avx2", "fma", "avx512f", "avx512_bf16", "avx512_fp16", "avx512_vnni", "avx_vnni"}
    | {"amx_bf16", "amx_fp16", "amx_int8", "asimddp", "bf16", "i8mm", "sve", "sve2"}
)
"""Flags by which libraries choose their kernels, those of 8 bits by VNNI, asimddp and i8mm."""


def same_processor(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two environments have the same processor; older records, which have its name alone, by the name."""
    return all(first.get(field) == second.get(field) for field in IDENTITY)


def description(environment: Mapping[str, Any]) -> str:
    """A processor in words: 'AMD EPYC (family 26, model 2, stepping 1; AVX512, VNNI)', or its name alone."""
    name, details = str(environment.get("cpu", "unknown")), environment.get("processor")
    if not isinstance(details, Mapping):
        return name
    numbers = ", ".join(f"{field} {details[field]}" for field in NUMBERS.values() if field in details)
    words = [str(details.get("capability", "")), "VNNI" * ("vnni" in str(details.get("instructions")))]
    return f"{name} ({'; '.join(filter(None, (numbers, ', '.join(filter(None, words)))))})"


def model_name(root: Path = ROOT) -> str:
    """The name of the processor, as the system calls it."""
    return _fields(root).get("model name") or platform.processor() or "unknown"


def about(root: Path = ROOT) -> dict[str, str]:
    """The details that a name leaves out: numbers, instructions, and ``capability``, those that torch uses.

    The environment variable ATEN_CPU_CAPABILITY may lower the last.
    """
    import torch

    fields = _fields(root)
    details = {name: fields[field] for field, name in NUMBERS.items() if field in fields}
    flags = fields.get("flags", fields.get("Features"))
    if flags is not None:
        details["instructions"] = instructions(flags.split())
    return details | {"capability": torch.backends.cpu.get_cpu_capability()}


def instructions(flags: Iterable[str]) -> str:
    """The flags of a processor that decide which kernels run, in order; 'none' where there are none."""
    return " ".join(sorted(INSTRUCTIONS & set(flags))) or "none"


def _fields(root: Path) -> dict[str, str]:
    """The fields of the first core in /proc/cpuinfo."""
    first, *_ = (text_of(root / "proc/cpuinfo") or "").split("\n\n")
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
