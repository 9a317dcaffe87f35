"""What ``distillbench check`` looks at: whether a network can be a task's, finding by finding."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from distillbench.bench.measure.evaluation_inputs import evaluation_inputs
from distillbench.bench.measure.onnx_export import export
from distillbench.bench.run.estimate import probe_task
from distillbench.bench.run.jobs import deployed_size
from distillbench.bench.suite.cells import Pair
from distillbench.bench.suite.registry import NETWORKS, TASKS
from distillbench.bench.suite.resolve import load
from distillbench.bench.training import contract
from distillbench.bench.training.learner import Learner
from distillbench.bench.training.loop import train
from distillbench.common.errors import UserError
from distillbench.methods.scratch import Scratch
from distillbench.tasks.base import Role, Task, read_only

STEPS, BATCH = 20, 8
"""Of the training that is tried, and at most in its batches."""
CLOSE = 1e-4
"""So far may an output be from that of the same input in another batch, in units of the largest."""
BOUNDED = frozenset({"generator", "styliser"})
"""Kinds of networks that put out images in [0, 1] and not about that."""
Verdict = Literal["ok", "no", "n/a"]


@dataclass(frozen=True)
class Finding:
    """what: what was looked at. verdict: 'no' stops a run, or makes its figures wrong. text: what was found."""

    what: str
    verdict: Verdict
    text: str


def pair_with(task: str, network: Mapping[str, Any], settings: Sequence[str] = ()) -> tuple[Pair, Role]:
    """The task's first pair with this network as student; as teacher, where it cannot be trained.

    settings: of the task, as ``key=value``. Raises UserError.
    """
    TASKS.check(task)
    NETWORKS.check(str(network["name"]))
    role: Role = "student" if NETWORKS.get(str(network["name"])).trainable else "teacher"
    table = {"pairs": [next(iter(TASKS.get(task).pairs))], role: {"network": dict(network)}}
    suite = load(
        {"methods": ["scratch"], "seeds": [0], "tasks": {task: table}}, [f"tasks.{task}.{text}" for text in settings]
    )
    return suite.entries[0].pair, role


def examine(pair: Pair, role: Role, cache: Path) -> Iterator[Finding]:
    """One finding after another; without a network that can be built there is one. Raises UserError for data that
    cannot be used.
    """
    task, trainable = probe_task(pair, cache), pair.settings.recipe(role).trainable
    try:
        model = contract.build(task, role, trainable)
    except UserError as error:
        yield Finding("built", "no", str(error))
        return
    looks: dict[str, Callable[[], Finding]] = {
        "shapes": lambda: _shapes(task, model),
        "range": lambda: _range(task, model),
        "in eval mode": lambda: _alone(task, model),
    }
    if trainable:
        looks |= {"gradients": lambda: _gradients(task, model), "training": lambda: _training(task, model, pair, role)}
    looks["size"] = lambda: _size(task, model)
    if trainable:
        looks["ONNX"] = lambda: _onnx(task, model)
    for what, look in looks.items():
        try:
            yield look()
        except Exception as error:  # a network of the user's own fails in any way
            yield Finding(what, "no", f"failed ({contract.reason(error)})")


@torch.no_grad()
def _output(model: nn.Module, batch: Tensor) -> Tensor:
    found: Tensor = model(batch)
    return found


def _shapes(task: Task, model: nn.Module) -> Finding:
    example = task.example_input(contract.EXAMPLES)
    output = _output(task.deployed(model), example)
    return Finding("shapes", "ok", f"{contract.sides(example.shape[1:])} → {contract.sides(output.shape[1:])}")


def _range(task: Task, model: nn.Module) -> Finding:
    output = _output(task.deployed(model), task.example_input(contract.EXAMPLES))
    low, high = float(output.min()), float(output.max())
    text = f"{low:.3g} to {high:.3g}, untrained"
    if not bool(torch.isfinite(output).all()):
        return Finding("range", "no", "infinite, or no number")
    if task.interface.kind in BOUNDED and not (low >= 0 and high <= 1):
        return Finding("range", "no", f"{text} (allowed: 0 to 1: {task.interface.gives})")
    return Finding("range", "ok", text)


def _alone(task: Task, model: nn.Module) -> Finding:
    """In eval mode an item's output depends on nothing but the item."""
    deployed = task.deployed(model)
    batch = next(iter(evaluation_inputs(task, model, "validation")))[:BATCH]
    if len(batch) < 2:
        batch = torch.cat([batch, batch / 2])
    whole = _output(deployed, batch)
    if not torch.equal(whole, _output(deployed, batch)):
        return Finding("in eval mode", "no", "two passes over one batch differ: it draws, or remembers")
    parts = torch.cat([_output(deployed, item[None]) for item in batch])
    apart = float((whole - parts).abs().max() / whole.abs().max().clamp(min=1e-12))
    if apart > CLOSE:
        text = f"an item's output depends on the others of its batch: {apart:.1g} of the largest output"
        return Finding("in eval mode", "no", text)
    return Finding("in eval mode", "ok", f"an item's output depends on it alone, within {apart:.1g} of the largest")


def _inputs(task: Task) -> Any:
    count = min(task.training_examples, BATCH)
    return task.shared_inputs(range(count), torch.Generator().manual_seed(0))


def _gradients(task: Task, model: nn.Module) -> Finding:
    """Of the task's own loss, in train mode, for every weight of what is deployed."""
    model = copy.deepcopy(model)
    model.train()
    inputs = _inputs(task)
    task.loss(model, inputs, task.forward(model, inputs)).backward()
    without, broken = [], []
    count = 0
    for name, parameter in task.deployed(model).named_parameters():
        count += 1
        if parameter.requires_grad and parameter.grad is None:
            without.append(name)
        elif parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
            broken.append(name)
    if broken:
        return Finding("gradients", "no", f"infinite, or no number, at {_some(broken)}")
    if without:
        return Finding("gradients", "no", f"none reaches {_some(without)}: they would stay as they are drawn")
    return Finding("gradients", "ok", f"reach all {count} tensors of weights")


def _training(task: Task, model: nn.Module, pair: Pair, role: Role) -> Finding:
    """A few steps of the role's own recipe."""
    recipe = pair.settings.recipe(role).model_copy(update={"schedule": "constant", "warmup": 0.0})
    learner = Learner(task, copy.deepcopy(model), recipe, STEPS, Scratch())
    train(task, [learner], recipe, STEPS, seed=0)
    if learner.failure is not None:
        return Finding("training", "no", learner.failure[0])
    losses = [loss for loss in learner.recorder.curve().loss if loss is not None]
    return Finding("training", "ok", f"{STEPS} steps of its recipe: loss {losses[0]:.4g} → {losses[-1]:.4g}")


def _size(task: Task, model: nn.Module) -> Finding:
    found = deployed_size(task, model)
    if found is None:
        return Finding("size", "n/a", "it has no weights of its own: what is in its file is not counted")
    text = f"{found.parameters:,} parameters, {found.macs:,} MACs, {found.bytes:,} bytes"
    return Finding("size", "ok", f"{text}, for an input of {contract.sides(found.input_shape[1:])}")


def _onnx(task: Task, model: nn.Module) -> Finding:
    deployed = read_only(copy.deepcopy(task.deployed(model)).cpu())
    found = export(deployed, task.example_input(1), [task.example_input(contract.EXAMPLES)])
    if found.failure is not None:
        return Finding("ONNX", "n/a", f"no file, and no time of ONNX Runtime: {found.failure}")
    assert found.parity is not None
    operators = sum((found.operators or {}).values())
    text = f"{operators} operators, opset {found.opset}, equal to PyTorch within {found.parity.absolute:.1g}"
    return Finding("ONNX", "ok", text)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"
