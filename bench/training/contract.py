"""Whether a network meets a task's contract: how it is built, what it returns, and that it can be trained.

Checked before anything is trained; ``distillbench check`` checks more (bench/run/network_check.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from distillbench.bench.training.batches import IndexBatches
from distillbench.bench.training.learner import forward_pass, losses
from distillbench.bench.training.loop import initial
from distillbench.bench.training.seeds import seeded
from distillbench.bench.training.sharing import Batch, WriteGuard, in_place
from distillbench.common.errors import UserError
from distillbench.tasks.base import Inputs, Role, Split, Task
from distillbench.tasks.networks.base import Ends, UnfitError

EXAMPLES = 2
"""Inputs in the batch that a network is tried on."""
TOLERANCE = 1e-4
"""How near to 1 the outputs of a row must sum to count as probabilities."""
WRITES = "writes to its input in place, which others share (allowed: a new tensor, as x = x - … for x.sub_(…))"
ODD_SIDES = (45, 51)
"""Height and width of an example for networks that must take any size, as photographs have."""


def build(task: Task, role: Role, trained: bool = True) -> nn.Module:
    """Build a role's network and try it in every way that a run uses it.

    Args:
        task: the task, with its feature extractor, which need not be trained.
        role: whose network.
        trained: whether the run trains it.

    Returns:
        The untrained network in eval mode.

    Raises:
        UserError: the network does not meet the contract; the message begins with the setting.
    """
    field = f"{role}.network"
    try:
        model, again = (initial(task, role, 0) for _ in range(2))
        model.eval()
    except Exception as error:  # networks of the user's own fail in any way
        raise UserError(reason(error), field=field) from error
    problem = _drawn(model, again) or (_trainable(task, role, model) if trained else None)
    problem = problem or _deployed(task, task.deployed(model)) or _evaluated(task, model)
    problem = problem or (_trained(task, role, again) if trained else None)
    if problem is not None:
        raise UserError(problem, field=field)
    return model


def _drawn(model: nn.Module, again: nn.Module) -> str | None:
    """Check that equal seeds give equal weights, and that no two students share any."""
    first, second = model.state_dict(), again.state_dict()
    if any(isinstance(parameter, UninitializedParameter) for parameter in model.parameters()):
        return "has lazy modules, whose size the first input decides: give each layer its size"
    if any(isinstance(part, torch.jit.ScriptModule) for part in model.modules()):
        return "is TorchScript, which is neither counted nor exported (allowed: the module before torch.jit)"
    shared = [name for name in first if first[name].numel() and first[name].data_ptr() == second[name].data_ptr()]
    if shared:
        return f"is the same module at each call, so that students would share {_named(shared)}: return a new one"
    if unequal := [name for name in first if not torch.equal(first[name], second[name])]:
        generators = "the global generators of torch, numpy or random"
        return f"has other weights each time, with equal seeds ({_named(unequal)}): draw them from {generators}"
    return None


def _trainable(task: Task, role: Role, model: nn.Module) -> str | None:
    """Check that there are weights to train, and that another seed draws other weights."""
    drawn = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not drawn:
        return "has no weights to train"
    weights = dict(initial(task, role, 1).named_parameters())
    varied = [name for name, parameter in drawn.items() if parameter.numel() and parameter.min() != parameter.max()]
    if varied and all(torch.equal(drawn[name], weights[name]) for name in varied):
        problem = f"starts from equal weights whatever the seed ({_named(varied)})"
        return f"{problem}: do not seed or load anything when it is built (teacher.weights takes trained weights)"
    return None


def _deployed(task: Task, deployed: nn.Module) -> str | None:
    """Check its output for the task's example, for one input alone, and for one of odd sides where it must take any."""
    example = task.example_input(EXAMPLES).to(task.device)
    examples = [example, example[:1].clone()]
    if (ends := _ends(task)) is not None and None in ends.takes:
        height, width = (side - side % task.interface.multiple for side in ODD_SIDES)
        examples.append(F.interpolate(example, (height, width)))
    for batch in examples:
        guard = ValueGuard({"": batch})
        try:
            with torch.no_grad():
                output = deployed(batch)
        except Exception as error:
            batch_of = "a batch of one input" if len(batch) == 1 else "an input"
            return f"cannot take {batch_of} of {sides(batch.shape[1:])} ({reason(error)})"
        if guard.written() is not None:
            return WRITES
        if (problem := output_problem(task, batch, output)) is not None:
            return problem
    for name in ("encode", "decode") if task.interface.kind == "autoencoder" else ():
        if not callable(getattr(deployed, name, None)):
            return f"has no method {name!r}, which an autoencoder needs (docs/bring-your-own.md)"
    return None


def _ends(task: Task) -> Ends | None:
    """Return None for a task that builds its networks itself, and need not say."""
    try:
        return task.ends
    except NotImplementedError:
        return None


def _evaluated(task: Task, model: nn.Module) -> str | None:
    """Check a pass in eval mode, with all that is computed from its outputs."""
    rng = torch.Generator().manual_seed(0)
    inputs = task.shared_inputs(range(min(task.examples("train"), EXAMPLES)), rng)
    guard = ValueGuard(inputs)
    try:
        with torch.no_grad(), seeded(0):
            outputs = task.forward(model, inputs)
            if task.interface.kind == "generator" and (problem := _discriminator_problem(model, outputs["images"])):
                return problem
            outputs_guard = ValueGuard({name: value for name, value in outputs.items() if isinstance(value, Tensor)})
            scalars = losses(task, model, inputs, outputs)
            task.responses(outputs, inputs, model)
    except Exception as error:
        return f"a pass in eval mode, or its loss, failed ({reason(error)})"
    if guard.written() is not None:
        return WRITES
    if (name := outputs_guard.written()) is not None:
        return in_place("a discriminator writes to", name)
    return "has an output whose loss is not a single number" if any(loss.numel() != 1 for loss in scalars) else None


def _trained(task: Task, role: Role, model: nn.Module) -> str | None:
    """Check a pass in train mode, forward and backward, on a batch as large as training has.

    No optimiser takes a step: torch would import its compiler for it, and a plan would take seconds.
    """
    recipe, batch = task.settings.recipe(role), _training_batch(task, role)
    guard = ValueGuard(batch.whole)
    model.train()
    try:
        with seeded(0):
            outputs = forward_pass(task, model, batch.whole, recipe)
            supervised = batch.supervised_rows(outputs)
            for name, adversary in task.adversaries(model).items():
                _backward(task.adversary_loss(model, batch.supervised, supervised, name, recipe), adversary)
            _backward(task.loss(model, batch.supervised, supervised, recipe), task.deployed(model))
    except Exception as error:
        return f"cannot be trained: a step on a batch of {batch.rows(whole=True)} failed ({reason(error)})"
    return None if guard.written() is None else WRITES


def _training_batch(task: Task, role: Role) -> Batch:
    """A batch of training; a student's has rows of the transfer set, where there is one."""
    rng, augment = torch.Generator().manual_seed(0), task.settings.recipe(role).augment

    def inputs(split: Split, size: int) -> Inputs:
        indices = next(IndexBatches(task.examples(split), size, rng))
        return task.shared_inputs(indices, rng, augment=augment, split=split)

    rows = task.settings.transfer_rows if role == "student" else 0
    return Batch(inputs("train", task.settings.batch_size), inputs("transfer", rows) if rows else None)


def _backward(loss: Tensor, part: nn.Module) -> None:
    torch.autograd.backward(loss, inputs=[weights for weights in part.parameters() if weights.requires_grad])


class ValueGuard(WriteGuard):
    """Compares the values as well: torch does not count what is written through ``x.data`` or numpy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._values = {name: tensor.clone() for name, tensor in self.tensors.items()}

    def written(self) -> str | None:
        """Return the name of a tensor that was written to; None where there is none."""
        changed = (name for name, tensor in self.tensors.items() if not torch.equal(tensor, self._values[name]))
        return super().written() or next(changed, None)


def _discriminator_problem(model: nn.Module, images: Tensor) -> str | None:
    output = cast(Any, model).discriminator(images)
    maps = [part for part in output if isinstance(part, Tensor) and part.ndim == 4] if isinstance(output, tuple) else []
    if len(maps) != 2 or maps[1].shape[1] != 1:
        return "has a discriminator that does not return features (batch, c, h, w) and logits (batch, 1, h, w)"
    return None


def expected_output(task: Task, example: Tensor) -> tuple[int, ...] | None:
    """Return the shape of the outputs for a batch of inputs; None where the task does not say."""
    if (ends := _ends(task)) is None:
        return None
    shape = example.shape[1:]
    if len(shape) != len(ends.gives):
        return (len(example), *(side or 0 for side in ends.gives))
    outputs = (side * ends.scale if gives is None else gives for side, gives in zip(shape, ends.gives, strict=True))
    return (len(example), *outputs)


def output_problem(task: Task, example: Tensor, output: object) -> str | None:
    """Return why the task cannot use an output, in a line; None where it can.

    Args:
        task: the task that says what shape and values it expects.
        example: a batch of inputs.
        output: what the network returned for it.
    """
    if not isinstance(output, Tensor):
        return f"returns a value of type {type(output).__name__} (expected one tensor)"
    expected = expected_output(task, example)
    if expected is not None and tuple(output.shape) != expected:
        return (
            f"returns {sides(output.shape[1:])} for an input of {sides(example.shape[1:])} "
            f"(expected {sides(expected[1:])}: {task.interface.gives})"
        )
    if output.device != example.device:
        return f"returns a tensor on {output.device} for an input on {example.device}"
    if not output.is_floating_point():
        return f"returns {str(output.dtype).removeprefix('torch.')} (expected floating-point numbers)"
    if task.interface.kind == "classifier" and _is_distribution(output):
        return "returns probabilities, rows that sum to 1 (expected logits, without a softmax at the end)"
    return None


def _is_distribution(rows: Tensor) -> bool:
    return bool((rows >= 0).all()) and bool(((rows.sum(-1) - 1).abs() < TOLERANCE).all())


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"{', '.join(map(str, names[:2]))}{more}"


def sides(shape: Sequence[int]) -> str:
    """Return a shape as text, such as "3×32×32"."""
    return "×".join(map(str, shape)) or "a single number"


def reason(error: BaseException) -> str:
    """Return an error's message in one short line, with the error's kind unless it is one of the project's own."""
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, UnfitError | UserError) else f"{type(error).__name__}: {text}"
