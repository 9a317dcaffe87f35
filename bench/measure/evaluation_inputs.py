"""What an evaluation gives to the network that is deployed: real inputs, to compare, to calibrate and to time with."""

from __future__ import annotations

from torch import Tensor, nn

from distillbench.tasks.base import Split, Task

EXAMPLES = 48
"""So many test inputs are enough."""


class _EnoughError(Exception):
    """Seen enough."""


def evaluation_inputs(task: Task, model: nn.Module, split: Split) -> list[Tensor]:
    """What evaluation on a split gives to what is deployed, a batch each.

    The evaluation is stopped as soon as it has given enough. Where it gives none the example input is all.
    """
    seen: list[Tensor] = []

    def look(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0].detach().clone()[:EXAMPLES])
        if sum(map(len, seen)) >= EXAMPLES:
            raise _EnoughError

    deployed = task.deployed(model)
    handle = deployed.register_forward_pre_hook(look)
    try:
        task.evaluate(model, model, split)
    except _EnoughError:
        pass
    except Exception:  # an evaluation may need what is not there, a feature extractor: what it gave before counts
        if not seen:
            seen.append(task.example_input(1))
    finally:
        handle.remove()
    return seen or [task.example_input(1)]
