"""Which processor it is: many of one name differ in their instructions, and so in times and in last digits."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from distillbench.bench.machine.limits import HERE, text_of

IDENTITY = ("cpu", "machine", "processor")
"""Of an environment: what must be equal for times, 8-bit qualities and last digits to be compared."""
NUMBERS = {
    "cpu family": "family",
    "model": "model",
    "stepping": "stepping",
    "CPU implementer": "implementer",
    "CPU variant": "variant",
    "CPU part": "part",
    "CPU revision": "revision",
}
"""Of /proc/cpuinfo, on x86 and on Arm: beside the name, which a cloud makes 'AMD EPYC' of them all."""
INSTRUCTIONS = frozenset(
    {"avx2", "fma", "avx512f", "avx512_bf16", "avx512_fp16", "avx512_vnni", "avx_vnni"}
    | {"amx_bf16", "amx_fp16", "amx_int8", "asimddp", "bf16", "i8mm", "sve", "sve2"}
)
"""Of its flags: what libraries choose their kernels by, those of 8 bits by VNNI, asimddp and i8mm."""


def same_processor(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether both say the same of it. Older records have its name alone: by that they are compared with each other."""
    return all(first.get(field) == second.get(field) for field in IDENTITY)


def description(environment: Mapping[str, Any]) -> str:
    """For readers: 'AMD EPYC (family 26, model 2, stepping 1; AVX512, VNNI)'; the name alone where no more is known."""
    name, about = str(environment.get("cpu", "unknown")), environment.get("processor")
    if not isinstance(about, Mapping):
        return name
    numbers = ", ".join(f"{field} {about[field]}" for field in NUMBERS.values() if field in about)
    words = [str(about.get("capability", "")), "VNNI" * ("vnni" in str(about.get("instructions")))]
    return f"{name} ({'; '.join(filter(None, (numbers, ', '.join(filter(None, words)))))})"


def model_name(root: Path = HERE) -> str:
    """As the system calls it."""
    return _fields(root).get("model name") or platform.processor() or "unknown"


def about(root: Path = HERE) -> dict[str, str]:
    """What the name does not say. capability: the instructions that torch uses, which ATEN_CPU_CAPABILITY may lower."""
    import torch

    fields = _fields(root)
    details = {name: fields[field] for field, name in NUMBERS.items() if field in fields}
    flags = fields.get("flags", fields.get("Features"))
    if flags is not None:
        details["instructions"] = instructions(flags.split())
    return details | {"capability": torch.backends.cpu.get_cpu_capability()}


def instructions(flags: Iterable[str]) -> str:
    """Of a processor's flags those that decide, in their order; 'none' of them."""
    return " ".join(sorted(INSTRUCTIONS & set(flags))) or "none"


def _fields(root: Path) -> dict[str, str]:
    """Of the first core."""
    first, *_ = (text_of(root / "proc/cpuinfo") or "").split("\n\n")
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
