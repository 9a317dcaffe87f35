"""Seeds derived from named parts: independent streams that do not depend on who else runs."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive(*parts: str | int) -> int:
    """A 63-bit seed from the parts: equal parts give equal seeds, on every machine."""
    text = "\0".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def seed_generators(seed: int, device: torch.device) -> None:
    """The global generators of torch, numpy and Python: a network or a method may draw from any of them.

    Of torch's only those of the CPU and the current GPU: torch.manual_seed takes longer than a small network's step.
    """
    import numpy as np
    import torch

    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The CPU's generators seeded for a while; afterwards they are as they were."""
    import numpy as np
    import torch

    before = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        seed_generators(seed, torch.device("cpu"))
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
