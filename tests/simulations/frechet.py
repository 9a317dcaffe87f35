"""How large the bias of FID is, and what the jackknife leaves of it, on sets whose distance is known.

    python tests/simulations/frechet.py

prints the table of docs/statistics.md. Every number comes from the fixed SEED.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from coverage import markdown
from torch import Generator, Tensor

from distillbench.tasks.metrics.distributions import frechet_distance, frechet_distance_at_infinity

SEED, DATA_SETS, DIMENSIONS = 0, 200, 32
DRAWS: dict[str, Callable[[Generator, int], Tensor]] = {
    "normal": lambda rng, n: torch.randn(n, DIMENSIONS, generator=rng, dtype=torch.double),
    "skewed": lambda rng, n: -torch.log1p(-torch.rand(n, DIMENSIONS, generator=rng, dtype=torch.double)) - 1,
}
"""Values with mean 0 and variance 1 in each dimension; skewed: exponential."""
CASES = [
    (features, *sizes, shift, scale)
    for features in DRAWS
    for *sizes, shift, scale in ((300, 5000, 0.0, 1.0), (1000, 5000, 0.0, 1.0), (1000, 5000, 1.0, 0.9))
]


def extrapolated(real: Tensor, fake: Tensor) -> float:
    """FID∞ as Chong & Forsyth (2020) fit it: a line in 1 / size over fifteen subsets, here of both sets."""
    shares = np.linspace(0.5, 1.0, 15)
    found = []
    for seed, share in enumerate(shares):
        rng = torch.Generator().manual_seed(seed)
        subsets = [x[torch.randperm(len(x), generator=rng)[: round(share * len(x))]] for x in (real, fake)]
        found.append(frechet_distance(*subsets))
    return float(np.polyfit(1 / shares, found, 1)[1])


def line(rng: Generator, features: str, real: int, fake: int, shift: float, scale: float) -> dict[str, float | str]:
    """Return how far three estimates are from the true distance, on average, and their standard deviation."""
    draw = DRAWS[features]
    estimates: dict[str, list[float]] = {}
    for _ in range(DATA_SETS):
        first, second = draw(rng, real), scale * draw(rng, fake)
        second[:, 0] += shift
        for name, estimate in (
            ("FID", frechet_distance),
            ("FID∞, jackknife", frechet_distance_at_infinity),
            ("FID∞, line", extrapolated),
        ):
            estimates.setdefault(name, []).append(estimate(first, second))
    true = shift**2 + DIMENSIONS * (scale - 1) ** 2
    errors = {name: f"{np.mean(x) - true:+.3f} ± {np.std(x, ddof=1):.3f}" for name, x in estimates.items()}
    return {"features": features, "real": str(real), "generated": str(fake), "true FID": f"{true:.2f}"} | errors


def main() -> None:
    torch.set_num_threads(1)
    rows = [line(torch.Generator().manual_seed(SEED + i), *case) for i, case in enumerate(CASES)]
    heading = f"Mean error ± standard deviation, {DIMENSIONS} dimensions, {DATA_SETS} data sets a line"
    print(f"{heading}:\n\n{markdown(rows)}")


if __name__ == "__main__":
    main()
