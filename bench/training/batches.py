"""The order in which a training sees its examples, and the batches that it draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from distillbench.bench.training.checkpoint import State
from distillbench.bench.training.clock import now
from distillbench.bench.training.sharing import Batch
from distillbench.tasks.base import Inputs, Split, Task


class IndexBatches(Iterator[list[int]]):
    """Batches of indices without end: one random order of all examples after another."""

    def __init__(self, examples: int, batch_size: int, rng: torch.Generator) -> None:
        """Begin with the first order.

        Args:
            examples: How many there are.
            batch_size: Indices a batch.
            rng: Draws the orders.
        """
        self._examples, self._size, self._rng = examples, batch_size, rng
        self._waiting: list[int] = []

    def __next__(self) -> list[int]:
        """Return the next batch."""
        while len(self._waiting) < self._size:
            self._waiting += torch.randperm(self._examples, generator=self._rng).tolist()
        batch, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
        return batch

    def state_dict(self) -> State:
        """Return what ``load_state_dict`` needs to go on, between two batches."""
        return {"waiting": self._waiting, "rng": self._rng.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where its like was."""
        self._waiting = list(state["waiting"])
        self._rng.set_state(state["rng"])


class BatchDraws(Iterator[Callable[[], Inputs]]):
    """Functions without end, each of which draws the inputs of the next batch: the same at each call."""

    def __init__(self, task: Task, splits: Sequence[Split], size: int, augment: bool, stream: int) -> None:
        """Begin with the first batch.

        Args:
            task: What is learnt.
            splits: Whose examples are in random order; a batch has those of the first split first.
            size: Examples a batch.
            augment: Whether to shift or flip them at random.
            stream: Seed of the order and of every draw.
        """
        self._task, self._splits, self._augment = task, splits, augment
        self._rng = torch.Generator().manual_seed(stream)
        self._counts = [task.examples(split) for split in splits]
        self._indices = IndexBatches(sum(self._counts), size, self._rng)

    def __next__(self) -> Callable[[], Inputs]:
        """Return the function of the next batch; it must be called before the one after."""
        indices = next(self._indices)
        state = self._rng.get_state()

        def draw() -> Inputs:
            self._rng.set_state(state)
            parts = list(self._parts(indices))
            return parts[0] if len(parts) == 1 else {name: torch.cat([p[name] for p in parts]) for name in parts[0]}

        return draw

    def _parts(self, indices: Sequence[int]) -> Iterator[Inputs]:
        start = 0
        for split, count in zip(self._splits, self._counts, strict=True):
            if members := [i - start for i in indices if start <= i < start + count]:
                yield self._task.shared_inputs(members, self._rng, augment=self._augment, split=split)
            start += count

    def state_dict(self) -> State:
        """Return what ``load_state_dict`` needs to go on, between two batches."""
        return self._indices.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where its like was."""
        self._indices.load_state_dict(state)


class Batches(Iterator[Batch]):
    """The batches themselves, of what learns by itself."""

    def __init__(self, draws: BatchDraws) -> None:
        """Draw what some functions draw.

        Args:
            draws: The functions.
        """
        self._draws = draws

    def __next__(self) -> Batch:
        """Return the next batch."""
        return batch_of(next(self._draws))

    def state_dict(self) -> State:
        """Return what ``load_state_dict`` needs to go on, between two batches."""
        return self._draws.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where its like was."""
        self._draws.load_state_dict(state)


def batch_of(supervised: Callable[[], Inputs], transfer: Callable[[], Inputs] | None = None) -> Batch:
    """Draw a batch, and note how long that takes.

    Args:
        supervised: Draws the inputs with ground truth.
        transfer: Draws those of the transfer set, where there is one.
    """
    start = now()
    first = supervised()
    middle = now()
    second = None if transfer is None else transfer()
    return Batch(first, second, seconds=(middle - start, now() - middle))
