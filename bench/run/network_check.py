"""The checks of ``distillbench check``: whether a network meets the contract of a task."""

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
from distillbench.bench.measure.size import deployed_size
from distillbench.bench.run.estimate import probe_task
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
"""Steps of the training that is tried, and the largest batch."""
CLOSE = 1e-4
"""An output may differ by this share of the largest from that of the same input in another batch."""
BOUNDED = frozenset({"generator", "styliser"})
"""Kinds of networks whose outputs are images in [0, 1]."""
Verdict = Literal["ok", "no", "n/a"]


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Attributes:
        name: Of the check.
        verdict: "no" stops a run, or makes its results wrong; "n/a" limits what can be done with the network.
        text: What the check found.
    """

    name: str
    verdict: Verdict
    text: str


def pair_with(task: str, network: Mapping[str, Any], settings: Sequence[str] = ()) -> tuple[Pair, Role]:
    """Build the task's first pair with a network as its student; as its teacher, where it cannot be trained.

    Args:
        task: Its name.
        network: The name and the settings of the network.
        settings: Of the task, as ``key=value``.

    Returns:
        The pair, and the role of the network.

    Raises:
        UserError: A name is unknown, or a setting is invalid.
    """
    TASKS.check(task)
    NETWORKS.check(str(network["name"]))
    role: Role = "student" if NETWORKS.get(str(network["name"])).trainable else "teacher"
    table = {"pairs": [next(iter(TASKS.get(task).pairs))], role: {"network": dict(network)}}
    suite = load(
        {"methods": ["scratch"], "seeds": [0], "tasks": {task: table}}, [f"tasks.{task}.{text}" for text in settings]
    )
    return suite.entries[0].pair, role


def examine(pair: Pair, role: Role, cache: Path) -> Iterator[CheckResult]:
    """Yield the result of one check after another; of one alone where the network cannot be built.

    Args:
        pair: Of networks.
        role: Of the network that is checked.
        cache: Folder of decoded images.

    Raises:
        UserError: The data cannot be used.
    """
    task, trainable = probe_task(pair, cache), pair.settings.recipe(role).trainable
    try:
        model = contract.build(task, role, trainable)
    except UserError as error:
        yield CheckResult("built", "no", str(error))
        return
    checks: dict[str, Callable[[], CheckResult]] = {
        "shapes": lambda: _shapes(task, model),
        "range": lambda: _range(task, model),
        "in eval mode": lambda: _alone(task, model),
    }
    if trainable:
        checks |= {"gradients": lambda: _gradients(task, model), "training": lambda: _training(task, model, pair, role)}
    checks["size"] = lambda: _size(task, model)
    if trainable:
        checks["ONNX"] = lambda: _onnx(task, model)
    for name, check in checks.items():
        try:
            yield check()
        except Exception as error:  # a network of the user's may fail in any way
            yield CheckResult(name, "no", f"failed ({contract.reason(error)})")


@torch.no_grad()
def _output(model: nn.Module, batch: Tensor) -> Tensor:
    output: Tensor = model(batch)
    return output


def _shapes(task: Task, model: nn.Module) -> CheckResult:
    example = task.example_input(contract.EXAMPLES)
    output = _output(task.deployed(model), example)
    return CheckResult("shapes", "ok", f"{contract.sides(example.shape[1:])} → {contract.sides(output.shape[1:])}")


def _range(task: Task, model: nn.Module) -> CheckResult:
    output = _output(task.deployed(model), task.example_input(contract.EXAMPLES))
    low, high = float(output.min()), float(output.max())
    text = f"{low:.3g} to {high:.3g}, untrained"
    if not bool(torch.isfinite(output).all()):
        return CheckResult("range", "no", "not finite")
    if task.interface.kind in BOUNDED and not (low >= 0 and high <= 1):
        return CheckResult("range", "no", f"{text} (allowed: 0 to 1: {task.interface.gives})")
    return CheckResult("range", "ok", text)


def _alone(task: Task, model: nn.Module) -> CheckResult:
    """In eval mode the output for an example depends on the example alone."""
    deployed = task.deployed(model)
    batch = next(iter(evaluation_inputs(task, model, "validation")))[:BATCH]
    if len(batch) < 2:
        batch = torch.cat([batch, batch / 2])
    whole = _output(deployed, batch)
    if not torch.equal(whole, _output(deployed, batch)):
        return CheckResult("in eval mode", "no", "two passes over one batch differ: it is random, or keeps a state")
    parts = torch.cat([_output(deployed, example[None]) for example in batch])
    difference = float((whole - parts).abs().max() / whole.abs().max().clamp(min=1e-12))
    if difference > CLOSE:
        text = f"an output depends on the other examples of its batch, by {difference:.1g} of the largest output"
        return CheckResult("in eval mode", "no", text)
    text = f"an output depends on its own example alone, within {difference:.1g} of the largest output"
    return CheckResult("in eval mode", "ok", text)


def _inputs(task: Task) -> Any:
    count = min(task.examples("train"), BATCH)
    return task.shared_inputs(range(count), torch.Generator().manual_seed(0))


def _gradients(task: Task, model: nn.Module) -> CheckResult:
    """The task's loss in train mode has a gradient for every weight of what is deployed."""
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
        return CheckResult("gradients", "no", f"not finite for {_some(broken)}")
    if without:
        return CheckResult("gradients", "no", f"none for {_some(without)}: they would keep their initial values")
    return CheckResult("gradients", "ok", f"for all {count} tensors of weights")


def _training(task: Task, model: nn.Module, pair: Pair, role: Role) -> CheckResult:
    """A few steps of the role's recipe."""
    recipe = pair.settings.recipe(role).model_copy(update={"schedule": "constant", "warmup": 0.0})
    learner = Learner(task, copy.deepcopy(model), recipe, STEPS, Scratch())
    train(task, [learner], role, STEPS, seed=0)
    if learner.failure is not None:
        return CheckResult("training", "no", learner.failure[0])
    losses = [loss for loss in learner.recorder.curve().loss if loss is not None]
    return CheckResult("training", "ok", f"{STEPS} steps of its recipe: loss {losses[0]:.4g} → {losses[-1]:.4g}")


def _size(task: Task, model: nn.Module) -> CheckResult:
    size = deployed_size(task, model)
    if size is None:
        return CheckResult("size", "n/a", "it has no weights of its own: the content of its file is not counted")
    text = f"{size.parameters:,} parameters, {size.macs:,} MACs, {size.bytes:,} bytes"
    return CheckResult("size", "ok", f"{text}, for an input of {contract.sides(size.input_shape[1:])}")


def _onnx(task: Task, model: nn.Module) -> CheckResult:
    deployed = read_only(copy.deepcopy(task.deployed(model)).cpu())
    exported = export(deployed, task.example_input(1), [task.example_input(contract.EXAMPLES)])
    if exported.failure is not None:
        return CheckResult("ONNX", "n/a", f"no file, and no times of ONNX Runtime: {exported.failure}")
    assert exported.parity is not None
    operators = sum((exported.operators or {}).values())
    text = f"{operators} operators, opset {exported.opset}, equal to PyTorch within {exported.parity.absolute:.1g}"
    return CheckResult("ONNX", "ok", text)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"
