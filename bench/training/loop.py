"""The one training loop: students of one task and seed in lockstep, or a teacher alone.

All learners of a group see the same batches, the same random draws and one forward pass of the frozen teacher, and
start from the same weights; no learner can see another. What a learner becomes does not depend on who else trains.
"""

from __future__ import annotations

import copy
import math
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial

import torch
from torch import Tensor, nn

from distillbench.bench.training.curves import Curve, CurveRecorder
from distillbench.bench.training.optimisation import factor, optimiser
from distillbench.bench.training.seeds import derive, seed_generators, seeded
from distillbench.bench.training.sharing import InPlaceError, Shared, share
from distillbench.methods.base import Distillation, Method
from distillbench.methods.scratch import Scratch
from distillbench.tasks.base import Inputs, Outputs, Recipe, Role, Task, read_only
from distillbench.tasks.response import Events, Responses
from distillbench.tasks.views.precision import in_precision

CHECK_EVERY = 20
"""Steps between two looks at whether a loss is still finite (on CUDA each look waits for the device)."""
TAIL = 0.1
"""The part of the training, at its end, that the recorded losses are averaged over."""

Report = Callable[[int, int], None]
"""(steps done, steps in all)."""


class NonFiniteLossError(ArithmeticError):
    """A loss was infinite or not a number."""


@dataclass
class Trained:
    """What came of one learner. partner: the teacher it trained. failure: a one-line reason and the traceback."""

    model: nn.Module
    partner: nn.Module | None
    steps: int
    seconds: float
    images_per_second: float
    loss: float
    distillation: float
    curve: Curve
    failure: tuple[str, str] | None = None


@dataclass
class Learner:
    """A model in training, with the method that says what it minimises.

    teacher: the frozen teacher that it looks at, which may have to judge the model's output. partner: a teacher that
    the method trains.
    """

    task: Task
    model: nn.Module
    recipe: Recipe
    steps: int
    method: Method
    teacher: nn.Module = field(default_factory=nn.Identity)
    distil: Distillation | None = None
    partner: nn.Module | None = None
    partner_recipe: Recipe | None = None
    failure: tuple[str, str] | None = None
    seconds: float = 0.0
    optimisers: dict[int, torch.optim.Optimizer] = field(default_factory=dict)
    totals: Tensor = field(default_factory=lambda: torch.zeros(2))
    counted: int = 0
    recorder: CurveRecorder = field(init=False)

    def __post_init__(self) -> None:
        self.totals = self.totals.to(self.task.device)
        self.recorder = CurveRecorder(self.steps)
        self._optimise(self.model, self.recipe)
        if self.partner is not None and self.partner_recipe is not None:
            self._optimise(self.partner, self.partner_recipe)

    def _optimise(self, model: nn.Module, recipe: Recipe) -> None:
        self._add_optimiser(self.task.deployed(model), recipe, recipe.learning_rate)
        for name, adversary in self.task.adversaries(model).items():
            rate = self.task.adversary_learning_rate(name, recipe.learning_rate)
            self._add_optimiser(adversary, recipe, rate)

    def _add_optimiser(self, part: nn.Module, recipe: Recipe, rate: float) -> None:
        self.optimisers[id(part)] = optimiser(part.parameters(), recipe, rate)

    def step(self, inputs: Inputs, frozen: Responses | None, step: int, steps: int) -> Tensor:
        """One optimiser step of every part; the loss. frozen: its frozen teacher's responses."""
        rate = factor(self.recipe, step, steps)
        outputs = passed(self.task, self.model, inputs, self.recipe)
        self._train_adversaries(self.model, inputs, outputs, self.recipe, rate)
        distillation = torch.zeros((), device=self.task.device)
        if self.partner is not None and self.partner_recipe is not None:
            its_rate = factor(self.partner_recipe, step, steps)
            distillation = self._train_partner(self.partner, inputs, outputs, self.partner_recipe, its_rate)
        elif self.distil is not None and frozen is not None:
            distillation = self.distil(self.task.responses(outputs, inputs, self.teacher), frozen)
        task_loss = self.task.loss(self.model, inputs, outputs, self.recipe)
        loss = self.method.student_loss(task_loss, distillation)
        self._update(self.task.deployed(self.model), loss, rate)
        self._account(loss, distillation, step, steps)
        return loss.detach()

    def _train_adversaries(
        self, model: nn.Module, inputs: Inputs, outputs: Outputs, recipe: Recipe, rate: float
    ) -> None:
        for name, adversary in self.task.adversaries(model).items():
            self._update(adversary, self.task.adversary_loss(model, inputs, outputs, name, recipe), rate)

    def _train_partner(
        self, partner: nn.Module, inputs: Inputs, outputs: Outputs, recipe: Recipe, rate: float
    ) -> Tensor:
        """One step of the teacher that the method trains; the student's distillation loss towards it."""
        its_outputs = passed(self.task, partner, inputs, recipe)
        self._train_adversaries(partner, inputs, its_outputs, recipe, rate)
        student = self.task.responses(outputs, inputs, partner)
        teacher = self.task.responses(its_outputs, inputs, partner)
        distil = self.distil or self.method.distillation_loss
        distillation = distil(student, _detached(teacher))
        task_loss = self.task.loss(partner, inputs, its_outputs, recipe)
        loss = self.method.teacher_loss(task_loss, _detached(student), teacher)
        self._update(self.task.deployed(partner), loss, rate)
        return distillation

    def _update(self, part: nn.Module, loss: Tensor, rate: float) -> None:
        """Differentiate by this part's weights alone: a loss may run through other networks without training them.

        rate: factor of the highest learning rate.
        """
        optimiser = self.optimisers[id(part)]
        optimiser.zero_grad()
        # Not autograd.grad: its gradients have the layout of the forward pass, and a fused optimiser reads memory as if
        # it had the parameter's. Accumulation into .grad keeps the parameter's layout.
        torch.autograd.backward(loss, inputs=[p for p in part.parameters() if p.requires_grad])
        for group in optimiser.param_groups:
            group.setdefault("initial_lr", group["lr"])
            group["lr"] = group["initial_lr"] * rate
        optimiser.step()

    def _account(self, loss: Tensor, distillation: Tensor, step: int, steps: int) -> None:
        look = step % CHECK_EVERY == 0 or step == steps - 1
        if look and not math.isfinite(value := loss.item()):
            raise NonFiniteLossError(f"the loss was {value} at step {step} of {steps}")
        if step >= steps - max(1, round(TAIL * steps)):
            self.totals += torch.stack([loss.detach(), distillation.detach()])
            self.counted += 1

    def result(self) -> Trained:
        batch_size = self.task.settings.batch_size
        loss, distillation = (self.totals / max(1, self.counted)).tolist()
        seconds = max(self.seconds, 1e-9)
        return Trained(
            read_only(self.model),
            None if self.partner is None else read_only(self.partner),
            self.steps,
            self.seconds,
            self.steps * batch_size / seconds,
            loss,
            distillation,
            self.recorder.curve(),
            self.failure,
        )


def _detached(responses: Responses) -> Responses:
    return {name: response.detach() for name, response in responses.items()}


def index_batches(examples: int, batch_size: int, rng: torch.Generator) -> Iterator[list[int]]:
    """Batches without end: one random order of all examples after another."""
    waiting: list[int] = []
    while True:
        while len(waiting) < batch_size:
            waiting += torch.randperm(examples, generator=rng).tolist()
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]


def initial(task: Task, role: Role, seed: int) -> nn.Module:
    """A new network whose weights depend on the role and the seed alone."""
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
    """Train all learners in lockstep. One that fails drops out with its reason; the others go on unchanged.

    A frozen teacher sees each batch once, for all learners that look at it. Whoever writes to what all see drops out,
    and the others get it anew.
    """
    batch_size, teachers = task.settings.batch_size, task.settings.recipe("teacher")
    rng = torch.Generator().manual_seed(derive("batches", seed))
    batches = index_batches(task.training_examples, batch_size, rng)
    for learner in learners:
        learner.model.train()
        if learner.partner is not None:
            learner.partner.train()

    def drawn(indices: Sequence[int], state: Tensor) -> Inputs:
        rng.set_state(state)
        return task.shared_inputs(indices, rng, augment=recipe.augment)

    @torch.no_grad()
    def respond(teacher: nn.Module, inputs: Inputs) -> Responses:
        return task.responses(passed(task, teacher, inputs, teachers), inputs, teacher)

    for step in range(steps):
        active = [learner for learner in learners if learner.failure is None]
        if not active:
            break
        draw = partial(drawn, next(batches), rng.get_state())
        looked_at = {id(x.teacher): x.teacher for x in active if x.distil is not None and x.partner is None}
        respondents = {key: partial(respond, teacher) for key, teacher in looked_at.items()}
        seen = share(draw, respondents)
        for learner in active:
            start = time.perf_counter()
            try:
                # A network that draws in its forward pass (dropout) draws the same, whoever trains beside it.
                seed_generators(derive("step", seed, step), task.device)
                loss = learner.step(*_view(learner, seen), step, steps)
                learner.seconds += time.perf_counter() - start
                learner.recorder.note(task, learner.model, loss, step)
            except Exception as error:  # whatever a method does, the other cells go on
                learner.failure = describe(error)
            if (fault := seen.fault()) is not None:
                learner.failure = describe(InPlaceError(fault))
                seen = share(draw, respondents)
        if report is not None and (step % CHECK_EVERY == 0 or step == steps - 1):
            report(step + 1, steps)


def _view(learner: Learner, shared: Shared) -> tuple[Inputs, Responses | None]:
    """What one learner gets of a step: the inputs, and its frozen teacher's responses. Raises InPlaceError."""
    key = id(learner.teacher)
    if key in shared.faults:
        raise InPlaceError(shared.faults[key])
    return shared.inputs, shared.responses.get(key)


def passed(task: Task, model: nn.Module, inputs: Inputs, recipe: Recipe) -> Outputs:
    """One pass in the recipe's precision; what comes out is float32."""
    return in_precision(recipe.precision, task.device, lambda: task.forward(model, inputs))


def losses(
    task: Task, model: nn.Module, inputs: Inputs, outputs: Outputs, recipe: Recipe | None = None
) -> list[Tensor]:
    """The task's loss of one pass, then that of each adversary."""
    adversaries = (
        task.adversary_loss(model, inputs, outputs, adversary, recipe) for adversary in task.adversaries(model)
    )
    return [task.loss(model, inputs, outputs, recipe), *adversaries]


def describe(error: BaseException) -> tuple[str, str]:
    """One line, and the traceback."""
    line = " ".join(str(error).split())
    return f"{type(error).__name__}: {line}"[:500], "".join(traceback.format_exception(error))


def train_teacher(task: Task, seed: int, report: Report | None = None) -> Trained:
    """A teacher on the task's own objective. Raises what training raises: there is nothing to distil without it."""
    recipe = task.settings.recipe("teacher")
    steps = task.steps("teacher")
    learner = Learner(task, initial(task, "teacher", seed), recipe, steps, Scratch())
    train(task, [learner], recipe, steps, derive("teacher", seed), report=report)
    trained = learner.result()
    if learner.failure is not None:
        raise RuntimeError(learner.failure[0])
    return trained


def train_students(
    task: Task, teacher: nn.Module, methods: Mapping[str, Method], seed: int, report: Report | None = None
) -> dict[str, Trained]:
    """One student a method, from equal weights, on equal batches. ``teacher`` is the trained one; it never changes."""
    recipe, steps = task.settings.recipe("student"), task.steps("student")
    learners: dict[str, Learner] = {}
    untrained = read_only(initial(task, "teacher", seed))  # a teacher that a method trains starts from equal weights
    events = cache(lambda which: validation_events(task, which, seed))

    def own_events(which: nn.Module) -> Mapping[str, Events]:
        return copy.deepcopy(events(which))  # no method sees what another has written to them

    for name, method in methods.items():
        its = teacher if method.teacher == "trained" else untrained
        learner = Learner(
            task,
            initial(task, "student", seed),
            recipe,
            steps,
            method,
            partner=initial(task, "teacher", seed) if method.teacher == "own" else None,
            partner_recipe=task.settings.recipe("teacher") if method.teacher == "own" else None,
            teacher=its,
        )
        if method.teacher != "none":
            seed_generators(derive("prepare", seed), task.device)
            try:
                learner.distil = method.prepare(partial(own_events, its))
            except Exception as error:  # a method that cannot be prepared is a failed cell, not a failed group
                learner.failure = describe(error)
        learners[name] = learner
    train(task, list(learners.values()), recipe, steps, seed, report)
    return {name: learner.result() for name, learner in learners.items()}


def validation_events(task: Task, teacher: nn.Module, seed: int) -> Mapping[str, Events]:
    """Ground truth for what a method fits, from the validation split."""
    return task.events(teacher, torch.Generator().manual_seed(derive("events", seed)))
