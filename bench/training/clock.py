"""The clock of training."""

from __future__ import annotations

import time

import torch


def now() -> float:
    """Return the time in seconds at which the process's device has done all that was asked of it.

    CUDA computes later than it is asked: without waiting, a learner's work would be charged to whoever waits next.
    """
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()
