"""Energy of a GPU, where its driver counts it (NVML)."""

from __future__ import annotations

import time
from collections.abc import Callable

LEAST_SECONDS = 2.0
"""The driver's counter moves some ten times a second."""


def joules_per_call(
    call: Callable[[], object], device: str, clock: Callable[[], float] = time.perf_counter
) -> float | None:
    """Measure the mean energy of a call, all of the GPU's power counted, over as many calls as take two seconds.

    Args:
        call: Queues work on the device.
        device: "cuda" or "cuda:N".
        clock: In seconds.

    Returns:
        Joules; None where nothing counts them.
    """
    import torch

    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        before = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except Exception:  # no library, no driver, or a GPU that does not count: the same answer
        return None
    start, calls = clock(), 0
    while clock() - start < LEAST_SECONDS:
        for _ in range(10):
            call()
        torch.cuda.synchronize(device)
        calls += 10
    return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) - before) / 1000 / calls
