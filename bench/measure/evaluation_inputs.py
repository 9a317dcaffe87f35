"""The inputs that an evaluation passes to the deployed network: real examples to compare, calibrate and time with."""

from __future__ import annotations

from torch import Tensor, nn

from distillbench.tasks.base import Split, Task

EXAMPLES = 48
"""As many examples are enough."""


class _EnoughError(Exception):
    """The evaluation has passed enough examples."""


def evaluation_inputs(task: Task, model: nn.Module, split: Split) -> list[Tensor]:
    """Record what an evaluation passes to the deployed network, and stop it when that is enough.

    Args:
        task: Evaluates the model.
        model: What the task evaluates, of which the deployed network may be a part.
        split: "test" or "validation".

    Returns:
        Batches of inputs; the task's example input alone where the evaluation passes none.
    """
    batches: list[Tensor] = []

    def record(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        batches.append(inputs[0].detach().clone()[:EXAMPLES])
        if sum(map(len, batches)) >= EXAMPLES:
            raise _EnoughError

    handle = task.deployed(model).register_forward_pre_hook(record)
    try:
        task.evaluate(model, model, split)
    except Exception:  # stopped, or it needs what is missing, a feature extractor: what it passed before counts
        pass
    finally:
        handle.remove()
    return batches or [task.example_input(1)]
