"""Seeds derived from named parts: independent streams of random numbers that do not depend on what else runs."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive(*parts: str | int) -> int:
    """Return a 63-bit seed that the parts decide: equal parts give equal seeds on every machine."""
    text = "\0".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the global generators of torch, numpy and Python; a network or a method may draw from any of them.

    Only torch's generators of the CPU and the current GPU are seeded: torch.manual_seed takes longer than a small
    network's step.

    Args:
        seed: the seed.
        device: where the learner computes; the current GPU's generator is seeded where it is "cuda".
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
    """Seed the CPU's global generators for a while; afterwards they are as they were."""
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
