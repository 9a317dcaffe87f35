"""Whether a network meets a task's contract: what is built, what comes out of it, and what a file of weights holds.

Looked at before anything is trained; ``distillbench check`` looks at more (bench/examination.py).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from bench.errors import UserError, at_most
from bench.training import initial
from tasks.base import Role, Task
from tasks.networks.base import Ends, Network, UnfitError
from tasks.views.units import View

ITEMS = 2
"""Inputs that a network is tried on."""
ODD = (45, 51)
"""Sides of an example: photographs have any."""


def build(task: Task, role: Role) -> nn.Module:
    """A role's untrained network in eval mode, tried in every way that a run uses it. Raises UserError.

    task: with its judge, which need not be trained.
    """
    place = f"{role}.network"
    try:
        model, again = (initial(task, role, 0).eval() for _ in range(2))
    except Exception as error:  # networks of the user's own fail in any way
        raise UserError(f"{place}: {reason(error)}") from error
    recipe = task.settings.recipe(role)
    problem = _drawn(model, again) if getattr(recipe, "network", Network).trainable else None
    problem = problem or _deployed(task, task.deployed(model)) or _as_trained(task, model)
    if problem is not None:
        raise UserError(f"{place}: {problem}")
    return model


def _drawn(model: nn.Module, again: nn.Module) -> str | None:
    """Equal seeds give equal weights, and each student has its own."""
    mine, its = model.state_dict(), again.state_dict()
    if any(isinstance(parameter, UninitializedParameter) for parameter in model.parameters()):
        return "has layers whose size an input decides (lazy modules): give them their sizes"
    if not any(parameter.requires_grad for parameter in model.parameters()):
        return "has no weights to train"
    if shared := [name for name in mine if mine[name].numel() and mine[name].data_ptr() == its[name].data_ptr()]:
        return f"is the same module each time, and students would share {_named(shared)}: make a new one at each call"
    if unequal := [name for name in mine if not torch.equal(mine[name], its[name])]:
        return f"is another each time at {_named(unequal)}: draw weights from torch's generator alone"
    return None


def _deployed(task: Task, deployed: nn.Module) -> str | None:
    """On the task's example, and on one of odd sides where it has to take any."""
    example = task.example_input(ITEMS).to(task.device)
    examples = [example]
    if (ends := _ends(task)) is not None and None in ends.takes:
        height, width = (side - side % task.interface.multiple for side in ODD)
        examples.append(F.interpolate(example, (height, width)))
    for batch in examples:
        try:
            with torch.no_grad():
                output = deployed(batch)
        except Exception as error:
            return f"cannot take an input of {sides(batch.shape[1:])} ({reason(error)})"
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


def _as_trained(task: Task, model: nn.Module) -> str | None:
    """One step's passes and losses, in train mode where there is something to train."""
    model = copy.deepcopy(model)
    if any(parameter.requires_grad for parameter in model.parameters()):
        model.train()
    rng = torch.Generator().manual_seed(0)
    inputs = task.shared_inputs(range(min(task.items, ITEMS)), rng)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            outputs = task.forward(model, inputs)
            if task.interface.kind == "generator" and (problem := _discriminator_problem(model, outputs["images"])):
                return problem
            losses = [task.loss(model, inputs, outputs, part) for part in task.parts(model)]
            task.responses(outputs, inputs, model)
    except Exception as error:
        return f"cannot be trained: a pass in train mode, or its loss, failed ({reason(error)})"
    if any(loss.numel() != 1 for loss in losses):
        return "cannot be trained: its loss is no single number"
    return None


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
    if not output.is_floating_point():
        return f"puts out {str(output.dtype).removeprefix('torch.')}, not floating-point numbers"
    return None


def load_pretrained(model: nn.Module, path: Path) -> None:
    """Weights that were trained elsewhere, into a network of the same architecture; no code of the file is run.

    A file of safetensors, or a state dict as torch saves it, alone or under 'state_dict', 'model' or
    'model_state_dict'. Raises UserError.
    """
    target = model
    while isinstance(target, View):
        target = target.network
    state = _state(path)
    wanted = target.state_dict()
    missing = [name for name in wanted if name not in state]
    strange = [name for name in state if name not in wanted]
    shapes = [
        f"{name} is {sides(state[name].shape)}, here {sides(wanted[name].shape)}"
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
    ]
    found = [
        *([f"lacks {_named(missing)}"] if missing else []),
        *([f"has {_named(strange)} beside"] if strange else []),
        *at_most(2, shapes),
    ]
    if found:
        raise UserError(f"teacher.weights: {path} holds the weights of another network: {'; '.join(found)}")
    target.load_state_dict(state)


def _state(path: Path) -> Mapping[str, Tensor]:
    """The tensors in a file, by name."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"teacher.weights: {path} cannot be read ({error.strerror})") from error
    state: Any
    try:
        state = load_safetensors(content)
    except SafetensorError:
        try:
            state = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises anything on foreign bytes; what holds code is refused, not run
            why = "neither safetensors nor a state dict without code in it"
            raise UserError(f"teacher.weights: {path} cannot be read as weights ({why})") from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"teacher.weights: {path} holds no state dict (allowed: tensors by name)")
    if all(str(name).startswith("module.") for name in state):  # of DataParallel
        state = {str(name).removeprefix("module."): tensor for name, tensor in state.items()}
    return cast(Mapping[str, Tensor], state)


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"{', '.join(map(str, names[:2]))}{more}"


def sides(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "a single number"


def reason(error: BaseException) -> str:
    """What an error says, shortly; its kind too, where it is none of ours."""
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, UnfitError | UserError) else f"{type(error).__name__}: {text}"
