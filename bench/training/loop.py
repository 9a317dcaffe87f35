"""The one training loop: students of one task and seed in lockstep, or a teacher alone.

All learners of a group see the same batches, the same random draws and one forward pass of the frozen teacher, and
start from the same weights; no learner can see another. What a learner becomes does not depend on who else trains.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import repeat

import torch
from torch import nn

from distillbench.bench.training.batches import BatchDraws, Batches, batch_of
from distillbench.bench.training.checkpoint import Checkpoint
from distillbench.bench.training.clock import now
from distillbench.bench.training.keeper import Keeper
from distillbench.bench.training.learner import CHECK_EVERY, Learner, Partner, Trained, forward_pass
from distillbench.bench.training.seeds import derive, seed_generators, seeded
from distillbench.bench.training.sharing import InPlaceError, Shared, share
from distillbench.methods.base import Method, Teacher
from distillbench.methods.scratch import Scratch
from distillbench.tasks.base import Inputs, Role, Task, read_only
from distillbench.tasks.response import Events, Responses

Report = Callable[[int, int], None]
"""(steps done, steps in all)."""
OUT_OF_MEMORY = (torch.OutOfMemoryError, MemoryError)
"""Errors that are no learner's own: all that train in the process share its memory and the device's."""


def initial(task: Task, role: Role, seed: int) -> nn.Module:
    """Return a new network on the task's device, whose weights depend on the role and the seed alone."""
    task.load(role)  # before the seed: a module may draw when it is imported
    with seeded(derive("weights", role, seed)):
        return task.network(role).to(task.device)


def _supervised(task: Task, role: Role, seed: int) -> BatchDraws:
    """The batches of a role's own objective."""
    recipe = task.settings.recipe(role)
    return BatchDraws(
        task, task.training_splits(role), task.settings.batch_size, recipe.augment, derive("batches", seed)
    )


def train(
    task: Task,
    learners: Sequence[Learner],
    role: Role,
    steps: int,
    seed: int,
    report: Report | None = None,
    keeper: Keeper | None = None,
) -> None:
    """Train all learners in lockstep.

    A learner that fails drops out with its reason; the others go on unchanged. A frozen teacher sees each batch once,
    for all learners that compare with it. Who writes to what all share drops out, and the others get it anew.

    Args:
        task: what is learnt.
        learners: the models in training; they are changed.
        role: whose recipe decides the batches; students have those of the transfer set as well.
        steps: the number of optimiser steps.
        seed: decides the batches and every draw.
        report: called with the steps done and the steps in all, now and then.
        keeper: keeps the state now and then, and knows one to go on from.
    """
    batches, transferred = _supervised(task, role, seed), _transferred(task, role, learners, seed)
    done = 0 if keeper is None else keeper.restore(batches, transferred)
    for learner in learners:
        learner.model.train()
        if learner.partner is not None:
            learner.partner.learner.model.train()
    for step in range(done, steps):
        active = [learner for learner in learners if learner.failure is None]
        if not active:
            break
        draw = partial(batch_of, next(batches), next(transferred))
        comparing = {id(learner.judge): learner for learner in active if learner.needs_responses}
        respond = {key: partial(_respond, learner, step) for key, learner in comparing.items()}
        with_targets = task.with_targets if any(learner.method.sees_task_loss for learner in active) else None
        shared = share(draw, respond, with_targets)
        for learner in active:
            _step(learner, shared, step, steps, seed)
            if (fault := shared.fault()) is not None:
                learner.failure = describe(InPlaceError(fault))
                shared = share(draw, respond, with_targets)
        if report is not None and (step % CHECK_EVERY == 0 or step == steps - 1):
            report(step + 1, steps)
        if keeper is not None and step + 1 < steps:
            keeper.keep(step + 1, batches, transferred)


def _transferred(
    task: Task, role: Role, learners: Sequence[Learner], seed: int
) -> Iterator[Callable[[], Inputs] | None]:
    """The batches of the transfer set, of a stream of their own; without end None where nobody learns from one."""
    rows = task.settings.transfer_rows
    if role == "teacher" or not rows or not any(learner.sees_transfer for learner in learners):
        return repeat(None)
    return BatchDraws(task, ("transfer",), rows, task.settings.recipe(role).augment, derive("transfer", seed))


def _respond(learner: Learner, step: int, inputs: Inputs) -> Responses:
    """What the teacher of a learner answers, after its own step where it is in training."""
    if learner.partner is not None:
        learner.partner.reach(step + 1)
        return learner.partner.answer(inputs)
    with torch.no_grad():
        outputs = forward_pass(learner.task, learner.teacher, inputs, learner.teacher_recipe)
        return learner.task.responses(outputs, inputs, learner.teacher)


def _step(learner: Learner, shared: Shared, step: int, steps: int, seed: int) -> None:
    """Let one learner take a step; one that raises has failed."""
    start = now()
    try:
        # A network that draws in its forward pass (dropout) draws the same, whoever trains beside it.
        seed_generators(derive("step", seed, step), learner.task.device)
        key = id(learner.judge)
        responses = shared.responses_of(key) if learner.needs_responses else None
        loss = learner.step(shared.batch, responses, step, steps)
        learner.seconds += now() - start + shared.batch.draw_seconds(learner.sees_transfer)
        learner.seconds += shared.seconds[key] if learner.needs_responses else 0.0
        learner.seconds += shared.target_seconds if learner.method.sees_task_loss else 0.0
        learner.recorder.note(learner.task, learner.model, loss, step, learner.seconds)
    except OUT_OF_MEMORY:
        raise
    except Exception as error:  # whatever a method does, the other cells go on
        learner.failure = describe(error)


def describe(error: BaseException) -> tuple[str, str]:
    """Return an error in one line, and its traceback."""
    line = " ".join(str(error).split())
    return f"{type(error).__name__}: {line}"[:500], "".join(traceback.format_exception(error))


def train_teacher(task: Task, seed: int, report: Report | None = None, checkpoint: Checkpoint | None = None) -> Trained:
    """Train a teacher on the task's own objective.

    Args:
        task: what is learnt.
        seed: decides initial weights, batches and every draw.
        report: called with the steps done and the steps in all, now and then.
        checkpoint: keeps the state, to go on from after an interruption.

    Raises:
        RuntimeError: training failed; without a teacher there is nothing to distil.
    """
    return _trained(_teacher(task, seed), "teacher", derive("teacher", seed), report, checkpoint)


def train_self_teacher(
    task: Task, seed: int, report: Report | None = None, checkpoint: Checkpoint | None = None
) -> Trained:
    """Train a network equal to the student by the student's recipe, from weights and on batches of its own.

    Args:
        task: what is learnt.
        seed: decides initial weights, batches and every draw.
        report: called with the steps done and the steps in all, now and then.
        checkpoint: keeps the state, to go on from after an interruption.

    Raises:
        RuntimeError: training failed; without a teacher there is nothing to distil.
    """
    own = derive("self", seed)
    learner = Learner(
        task, initial(task, "student", own), task.settings.recipe("student"), task.steps("student"), Scratch()
    )
    return _trained(learner, "student", own, report, checkpoint)


def _trained(learner: Learner, role: Role, seed: int, report: Report | None, checkpoint: Checkpoint | None) -> Trained:
    keeper = None if checkpoint is None else Keeper(checkpoint, {"": learner})
    train(learner.task, [learner], role, learner.steps, seed, report, keeper)
    trained = learner.result()
    if learner.failure is not None:
        raise RuntimeError(learner.failure[0])
    return trained


def _teacher(task: Task, seed: int) -> Learner:
    recipe = task.settings.recipe("teacher")
    return Learner(task, initial(task, "teacher", seed), recipe, task.steps("teacher"), Scratch())


def train_students(
    task: Task,
    teachers: Mapping[Teacher, nn.Module],
    methods: Mapping[str, Method],
    seed: int,
    report: Report | None = None,
    checkpoint: Checkpoint | None = None,
) -> dict[str, Trained]:
    """Train one student a method, from equal weights, on equal batches.

    Args:
        task: what is learnt.
        teachers: those that were trained before, frozen, by kind ("trained", "self"); they never change.
        methods: the methods by name.
        seed: decides initial weights, batches and every draw.
        report: called with the steps done and the steps in all, now and then.
        checkpoint: keeps the state, to go on from after an interruption.

    Returns:
        The outcome of each method's student by the method's name, failures included.
    """
    untrained = read_only(initial(task, "teacher", seed))  # a teacher that a method trains starts from equal weights
    frozen = {"untrained": untrained, "own": untrained, "none": nn.Identity(), **teachers}
    learners = {name: _student(task, method, frozen[method.teacher], seed) for name, method in methods.items()}
    partners: dict[int, Partner] = {}
    for learner in learners.values():
        _prepare(learner, seed, partners)
    lengths = sorted({learner.steps for learner in learners.values()})
    keeper = None if checkpoint is None else Keeper(checkpoint, learners)
    for i, steps in enumerate(lengths):
        if keeper is not None and not keeper.begin(i):
            continue  # it was ended before the interruption
        group = [learner for learner in learners.values() if learner.steps == steps]
        train(task, group, "student", steps, seed, _part_of(report, sum(lengths[:i]), sum(lengths)), keeper)
    return {name: learner.result() for name, learner in learners.items()}


def _part_of(report: Report | None, before: int, total: int) -> Report | None:
    """A report of one training as part of several."""
    return None if report is None else lambda step, steps: report(before + step, total)


def _student(task: Task, method: Method, teacher: nn.Module, seed: int) -> Learner:
    """A student; one that has failed already where its method's recipe cannot be used."""
    recipe, model = task.settings.recipe("student"), initial(task, "student", seed)
    try:
        return Learner(task, model, method.recipe(recipe), task.steps(method.steps_of), method, teacher=teacher)
    except Exception as error:
        return Learner(task, model, recipe, task.steps("student"), method, failure=describe(error))


def _prepare(learner: Learner, seed: int, partners: dict[int, Partner]) -> None:
    """Let the method fit what it fits, and give it the teacher that it trains.

    Args:
        learner: a student.
        seed: of the group.
        partners: by the steps of students, the teacher that all have who do not feed back to it: it would be the same.
    """
    if learner.failure is not None:
        return
    seed_generators(derive("prepare", seed), learner.task.device)
    start = now()

    def events() -> Mapping[str, Events]:
        learner.fitted = True
        return validation_events(learner.task, learner.teacher, seed)

    try:
        learner.distil = learner.method.prepare(events)
        if learner.method.teacher == "own":
            learner.partner = _partner(learner, seed, partners)
    except OUT_OF_MEMORY:
        raise
    except Exception as error:  # a method that cannot be prepared is a failed cell, not a failed group
        learner.failure = describe(error)
    learner.seconds = now() - start


def _partner(learner: Learner, seed: int, partners: dict[int, Partner]) -> Partner:
    if learner.method.feeds_back:
        return _new_partner(learner.task, seed, learner.steps)
    if learner.steps not in partners:
        partners[learner.steps] = _new_partner(learner.task, seed, learner.steps)
    return partners[learner.steps]


def _new_partner(task: Task, seed: int, steps: int) -> Partner:
    """A teacher in training for a student of so many steps, ahead by those that its own recipe is longer.

    Where the method does not feed back it becomes the teacher that ``train_teacher`` trains, bit by bit; one whose
    recipe is shorter is trained for as many steps as the student.
    """
    learner, own = _teacher(task, seed), derive("teacher", seed)
    learner.steps = max(learner.steps, steps)
    learner.model.train()
    return Partner(learner, Batches(_supervised(task, "teacher", own)), own, ahead=learner.steps - steps)


def validation_events(task: Task, teacher: nn.Module, seed: int) -> Mapping[str, Events]:
    """Return the teacher's responses on the data to fit to, beside the ground truth."""
    return task.events(teacher, torch.Generator().manual_seed(derive("events", seed)))
