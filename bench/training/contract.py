"""Whether a network meets a task's contract: what is built, what comes out of it, and what a file of weights holds.

Looked at before anything is trained; ``distillbench check`` looks at more (bench/examination.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from distillbench.bench.training.loop import index_batches, initial, losses, passed
from distillbench.bench.training.seeds import seeded
from distillbench.bench.training.sharing import Watch, in_place
from distillbench.common.errors import UserError
from distillbench.tasks.base import Role, Task
from distillbench.tasks.networks.base import Ends, UnfitError

EXAMPLES = 2
"""Inputs that a network is tried on."""
SURE = 1e-4
"""So near to 1 is the sum of probabilities."""
WRITES = "writes to its input in place, which others share (allowed: a new tensor, as x = x - … for x.sub_(…))"
ODD = (45, 51)
"""Sides of an example: photographs have any."""


def build(task: Task, role: Role, trained: bool = True) -> nn.Module:
    """A role's untrained network in eval mode, tried in every way that a run uses it. Raises UserError.

    task: with its extractor, which need not be trained. trained: whether the run trains such a network.
    """
    field = f"{role}.network"
    try:
        model, again = (initial(task, role, 0) for _ in range(2))
        model.eval()
    except Exception as error:  # networks of the user's own fail in any way
        raise UserError(reason(error), field=field) from error
    problem = _drawn(model, again) or (_trainable(task, role, model) if trained else None)
    problem = problem or _deployed(task, task.deployed(model)) or _as_judged(task, model)
    problem = problem or (_as_trained(task, role, again) if trained else None)
    if problem is not None:
        raise UserError(problem, field=field)
    return model


def _drawn(model: nn.Module, again: nn.Module) -> str | None:
    """Equal seeds give equal weights, and each student has its own."""
    first, second = model.state_dict(), again.state_dict()
    if any(isinstance(parameter, UninitializedParameter) for parameter in model.parameters()):
        return "has layers whose size an input decides (lazy modules): give them their sizes"
    if any(isinstance(part, torch.jit.ScriptModule) for part in model.modules()):
        return "is TorchScript, which is neither counted nor exported (allowed: the module before torch.jit)"
    shared = [name for name in first if first[name].numel() and first[name].data_ptr() == second[name].data_ptr()]
    if shared:
        return f"is the same module each time, and students would share {_named(shared)}: make a new one at each call"
    if unequal := [name for name in first if not torch.equal(first[name], second[name])]:
        generators = "the global generators of torch, numpy or random"
        return f"is another each time at {_named(unequal)}: draw weights from {generators}"
    return None


def _trainable(task: Task, role: Role, model: nn.Module) -> str | None:
    """There are weights to train, and other seeds draw others."""
    drawn = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not drawn:
        return "has no weights to train"
    others = dict(initial(task, role, 1).named_parameters())
    varied = [name for name, parameter in drawn.items() if parameter.numel() and parameter.min() != parameter.max()]
    if varied and all(torch.equal(drawn[name], others[name]) for name in varied):
        what = f"starts from equal weights whatever the seed ({_named(varied)})"
        return f"{what}: seed nothing and load nothing when it is made (trained weights are given as teacher.weights)"
    return None


def _deployed(task: Task, deployed: nn.Module) -> str | None:
    """On the task's example, on one item alone, and on one of odd sides where it has to take any."""
    example = task.example_input(EXAMPLES).to(task.device)
    examples = [example, example[:1].clone()]
    if (ends := _ends(task)) is not None and None in ends.takes:
        height, width = (side - side % task.interface.multiple for side in ODD)
        examples.append(F.interpolate(example, (height, width)))
    for batch in examples:
        before = Unwritten({"": batch})
        try:
            with torch.no_grad():
                output = deployed(batch)
        except Exception as error:
            what = "a batch of one input" if len(batch) == 1 else "an input"
            return f"cannot take {what} of {sides(batch.shape[1:])} ({reason(error)})"
        if before.written() is not None:
            return WRITES
        if (problem := output_problem(task, batch, output)) is not None:
            return problem
    for name in ("encode", "decode") if task.interface.kind == "autoencoder" else ():
        if not callable(getattr(deployed, name, None)):
            return f"has no method {name!r}, as an autoencoder has (docs/bring-your-own.md)"
    return None


def _ends(task: Task) -> Ends | None:
    """None: a task that makes its networks itself need not say."""
    try:
        return task.ends
    except NotImplementedError:
        return None


def _as_judged(task: Task, model: nn.Module) -> str | None:
    """A pass in eval mode, with all that is computed of its outputs."""
    rng = torch.Generator().manual_seed(0)
    inputs = task.shared_inputs(range(min(task.training_examples, EXAMPLES)), rng)
    before = Unwritten(inputs)
    try:
        with torch.no_grad(), seeded(0):
            outputs = task.forward(model, inputs)
            if task.interface.kind == "generator" and (problem := _discriminator_problem(model, outputs["images"])):
                return problem
            seen = Unwritten({name: value for name, value in outputs.items() if isinstance(value, Tensor)})
            scalars = losses(task, model, inputs, outputs)
            task.responses(outputs, inputs, model)
    except Exception as error:
        return f"a pass in eval mode, or its loss, failed ({reason(error)})"
    if before.written() is not None:
        return WRITES
    if (name := seen.written()) is not None:
        return in_place("a discriminator writes to", name)
    return "its loss is no single number" if any(loss.numel() != 1 for loss in scalars) else None


def _as_trained(task: Task, role: Role, model: nn.Module) -> str | None:
    """A pass in train mode, forward and backward, on a batch of the size that it will have.

    Without an optimiser's step: torch would import its compiler for it, and a plan take seconds.
    """
    recipe, size = task.settings.recipe(role), task.settings.batch_size
    rng = torch.Generator().manual_seed(0)
    inputs = task.shared_inputs(next(index_batches(task.training_examples, size, rng)), rng, augment=recipe.augment)
    before = Unwritten(inputs)
    model.train()
    try:
        with seeded(0):
            outputs = passed(task, model, inputs, recipe)
            for name, adversary in task.adversaries(model).items():
                _backward(task.adversary_loss(model, inputs, outputs, name, recipe), adversary)
            _backward(task.loss(model, inputs, outputs, recipe), task.deployed(model))
    except Exception as error:
        return f"cannot be trained: a step on a batch of {size} failed ({reason(error)})"
    return None if before.written() is None else WRITES


def _backward(loss: Tensor, part: nn.Module) -> None:
    torch.autograd.backward(loss, inputs=[weights for weights in part.parameters() if weights.requires_grad])


class Unwritten(Watch):
    """Compares the values as well: torch does not count what is written through ``x.data`` or numpy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._values = {name: tensor.clone() for name, tensor in self.tensors.items()}

    def written(self) -> str | None:
        changed = (name for name, tensor in self.tensors.items() if not torch.equal(tensor, self._values[name]))
        return super().written() or next(changed, None)


def _discriminator_problem(model: nn.Module, images: Tensor) -> str | None:
    said = cast(Any, model).discriminator(images)
    maps = [one for one in said if isinstance(one, Tensor) and one.ndim == 4] if isinstance(said, tuple) else []
    if len(maps) != 2 or maps[1].shape[1] != 1:
        return "its discriminator puts out no pair of features (batch, c, h, w) and logits (batch, 1, h, w)"
    return None


def expected_output(task: Task, example: Tensor) -> tuple[int, ...] | None:
    """The shape that a batch has behind a network, where the task says what it is built between."""
    if (ends := _ends(task)) is None:
        return None
    given = example.shape[1:]
    if len(given) != len(ends.gives):
        return (len(example), *(side or 0 for side in ends.gives))
    sides_ = (side * ends.scale if gives is None else gives for side, gives in zip(given, ends.gives, strict=True))
    return (len(example), *sides_)


def output_problem(task: Task, example: Tensor, output: object) -> str | None:
    """Why an output is none that the task can use, in a line; None where it is."""
    if not isinstance(output, Tensor):
        return f"puts out {type(output).__name__}, not one tensor"
    expected = expected_output(task, example)
    if expected is not None and tuple(output.shape) != expected:
        return (
            f"puts out {sides(output.shape[1:])} for an input of {sides(example.shape[1:])} "
            f"(allowed: {sides(expected[1:])}: {task.interface.gives})"
        )
    if output.device != example.device:
        return f"puts out a tensor on {output.device}, for one on {example.device}"
    if output.is_inference():
        return "puts out a tensor of torch.inference_mode, which nothing can be learnt from (allowed: torch.no_grad)"
    if not output.is_floating_point():
        return f"puts out {str(output.dtype).removeprefix('torch.')}, not floating-point numbers"
    if task.interface.kind == "classifier" and _is_distribution(output):
        return "puts out probabilities, each row sums to 1 (allowed: logits, without a softmax at its end)"
    return None


def _is_distribution(rows: Tensor) -> bool:
    return bool((rows >= 0).all()) and bool(((rows.sum(-1) - 1).abs() < SURE).all())


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"{', '.join(map(str, names[:2]))}{more}"


def sides(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "a single number"


def reason(error: BaseException) -> str:
    """What an error says, shortly; its kind too, where it is none of ours."""
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, UnfitError | UserError) else f"{type(error).__name__}: {text}"
