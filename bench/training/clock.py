"""The clock of training."""

from __future__ import annotations

import time

import torch


def now(device: torch.device) -> float:
    """Return the time in seconds at which the device has done all that was asked of it.

    CUDA computes later than it is asked: without waiting, a learner's time would be charged to whoever waits next.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
