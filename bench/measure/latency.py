"""A simple latency: one forward pass after another, alone on the machine."""

from __future__ import annotations

import gc
import statistics
import time

import torch
from torch import Tensor, nn

from bench.records import Latency

WARM_UP, LEAST_RUNS, SECONDS = 10, 50, 0.5


@torch.inference_mode()
def latency(model: nn.Module, example: Tensor, device: str) -> Latency:
    """Median and quartiles of at least 50 passes and half a second, one thread, after a warm-up."""
    where = torch.device(device)
    model, example = model.to(where).eval(), example.to(where)

    def run() -> float:
        start = time.perf_counter()
        model(example)
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        return time.perf_counter() - start

    for _ in range(WARM_UP):
        run()
    collecting = gc.isenabled()
    gc.disable()
    try:
        times: list[float] = []
        while len(times) < LEAST_RUNS or sum(times) < SECONDS:
            times.append(run())
    finally:
        if collecting:
            gc.enable()
    lower, median, upper = statistics.quantiles(times, n=4)
    return Latency(
        median=median,
        lower_quartile=lower,
        upper_quartile=upper,
        runs=len(times),
        batch_size=len(example),
        threads=torch.get_num_threads(),
        device=where.type,
    )
