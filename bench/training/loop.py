"""The one training loop: students of one task and seed in lockstep, or a teacher alone.

All learners of a group see the same batches, the same random draws and one forward pass of the frozen teacher, and
start from the same weights; no learner can see another. What a learner becomes does not depend on who else trains.
"""

from __future__ import annotations

import copy
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial

import torch
from torch import Tensor, nn

from distillbench.bench.training.learner import CHECK_EVERY, Learner, Trained, forward_pass
from distillbench.bench.training.seeds import derive, seed_generators, seeded
from distillbench.bench.training.sharing import InPlaceError, Shared, share
from distillbench.methods.base import Method
from distillbench.methods.scratch import Scratch
from distillbench.tasks.base import Inputs, Recipe, Role, Task, read_only
from distillbench.tasks.response import Events, Responses

Report = Callable[[int, int], None]
"""(steps done, steps in all)."""


def index_batches(examples: int, batch_size: int, rng: torch.Generator) -> Iterator[list[int]]:
    """Yield batches of indices without end: one random order of all examples after another."""
    waiting: list[int] = []
    while True:
        while len(waiting) < batch_size:
            waiting += torch.randperm(examples, generator=rng).tolist()
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]


def initial(task: Task, role: Role, seed: int) -> nn.Module:
    """Return a new network on the task's device, whose weights depend on the role and the seed alone."""
    task.load(role)  # before the seed: a module may draw when it is imported
    with seeded(derive("weights", role, seed)):
        return task.network(role).to(task.device)


def train(
    task: Task,
    learners: Sequence[Learner],
    recipe: Recipe,
    steps: int,
    seed: int,
    report: Report | None = None,
) -> None:
    """Train all learners in lockstep.

    A learner that fails drops out with its reason; the others go on unchanged. A frozen teacher sees each batch once,
    for all learners that compare with it. Who writes to what all share drops out, and the others get it anew.

    Args:
        task: what is learnt.
        learners: the models in training; they are changed.
        recipe: the recipe that decides the augmentation of the shared inputs.
        steps: the number of optimiser steps.
        seed: decides the batches and every draw.
        report: called with the steps done and the steps in all, now and then.
    """
    rng = torch.Generator().manual_seed(derive("batches", seed))
    batches = index_batches(task.training_examples, task.settings.batch_size, rng)
    for learner in learners:
        learner.model.train()
        if learner.partner is not None:
            learner.partner.train()
    for step in range(steps):
        active = [learner for learner in learners if learner.failure is None]
        if not active:
            break
        indices = next(batches)
        draw = partial(_inputs, task, indices, recipe.augment, rng, rng.get_state())
        teachers = {id(learner.teacher): learner.teacher for learner in active if learner.needs_responses}
        respond = {key: partial(_respond, task, teacher) for key, teacher in teachers.items()}
        shared = share(draw, respond)
        for learner in active:
            _step(learner, shared, step, steps, seed)
            if (fault := shared.fault()) is not None:
                learner.failure = describe(InPlaceError(fault))
                shared = share(draw, respond)
        if report is not None and (step % CHECK_EVERY == 0 or step == steps - 1):
            report(step + 1, steps)


def _inputs(task: Task, indices: Sequence[int], augment: bool, rng: torch.Generator, state: Tensor) -> Inputs:
    """Draw the inputs of a step, the same at each call. state: that of the generator before the step."""
    rng.set_state(state)
    return task.shared_inputs(indices, rng, augment=augment)


@torch.no_grad()
def _respond(task: Task, teacher: nn.Module, inputs: Inputs) -> Responses:
    outputs = forward_pass(task, teacher, inputs, task.settings.recipe("teacher"))
    return task.responses(outputs, inputs, teacher)


def _step(learner: Learner, shared: Shared, step: int, steps: int, seed: int) -> None:
    """Let one learner take a step; one that raises has failed."""
    start = time.perf_counter()
    try:
        # A network that draws in its forward pass (dropout) draws the same, whoever trains beside it.
        seed_generators(derive("step", seed, step), learner.task.device)
        responses = shared.responses_of(id(learner.teacher)) if learner.needs_responses else None
        loss = learner.step(shared.inputs, responses, step, steps)
        learner.seconds += time.perf_counter() - start
        learner.recorder.note(learner.task, learner.model, loss, step)
    except Exception as error:  # whatever a method does, the other cells go on
        learner.failure = describe(error)


def describe(error: BaseException) -> tuple[str, str]:
    """Return an error in one line, and its traceback."""
    line = " ".join(str(error).split())
    return f"{type(error).__name__}: {line}"[:500], "".join(traceback.format_exception(error))


def train_teacher(task: Task, seed: int, report: Report | None = None) -> Trained:
    """Train a teacher on the task's own objective.

    Raises:
        RuntimeError: training failed; without a teacher there is nothing to distil.
    """
    recipe, steps = task.settings.recipe("teacher"), task.steps("teacher")
    learner = Learner(task, initial(task, "teacher", seed), recipe, steps, Scratch())
    train(task, [learner], recipe, steps, derive("teacher", seed), report=report)
    trained = learner.result()
    if learner.failure is not None:
        raise RuntimeError(learner.failure[0])
    return trained


def train_students(
    task: Task, teacher: nn.Module, methods: Mapping[str, Method], seed: int, report: Report | None = None
) -> dict[str, Trained]:
    """Train one student a method, from equal weights, on equal batches.

    Args:
        task: what is learnt.
        teacher: the trained teacher, frozen; it never changes.
        methods: the methods by name.
        seed: decides initial weights, batches and every draw.
        report: called with the steps done and the steps in all, now and then.

    Returns:
        The outcome of each method's student by the method's name, failures included.
    """
    recipe, steps = task.settings.recipe("student"), task.steps("student")
    untrained = read_only(initial(task, "teacher", seed))  # a teacher that a method trains starts from equal weights
    events = cache(partial(validation_events, task, seed=seed))

    def own_events(teacher: nn.Module) -> Mapping[str, Events]:
        return copy.deepcopy(events(teacher))  # no method sees what another has written to them

    learners = {}
    for name, method in methods.items():
        learner = _student(task, method, teacher if method.teacher == "trained" else untrained, seed)
        if method.teacher != "none":
            seed_generators(derive("prepare", seed), task.device)
            try:
                learner.distil = method.prepare(partial(own_events, learner.teacher))
            except Exception as error:  # a method that cannot be prepared is a failed cell, not a failed group
                learner.failure = describe(error)
        learners[name] = learner
    train(task, list(learners.values()), recipe, steps, seed, report)
    return {name: learner.result() for name, learner in learners.items()}


def _student(task: Task, method: Method, teacher: nn.Module, seed: int) -> Learner:
    partnered = method.teacher == "own"
    return Learner(
        task,
        initial(task, "student", seed),
        task.settings.recipe("student"),
        task.steps("student"),
        method,
        partner=initial(task, "teacher", seed) if partnered else None,
        partner_recipe=task.settings.recipe("teacher") if partnered else None,
        teacher=teacher,
    )


def validation_events(task: Task, teacher: nn.Module, seed: int) -> Mapping[str, Events]:
    """Return the teacher's responses on the validation split beside the ground truth, for what a method fits."""
    return task.events(teacher, torch.Generator().manual_seed(derive("events", seed)))
