"""A learner: one model in training, the method that says what it minimises, and its optimisers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from distillbench.bench.training.checkpoint import State, restore, state_of
from distillbench.bench.training.curves import Curve, CurveRecorder
from distillbench.bench.training.optimisation import optimiser, rate_factor
from distillbench.bench.training.seeds import derive, seed_generators
from distillbench.bench.training.sharing import Batch
from distillbench.methods.base import Distillation, Method
from distillbench.tasks.base import Inputs, Outputs, Recipe, Task, read_only
from distillbench.tasks.response import Responses
from distillbench.tasks.views.precision import in_precision

CHECK_EVERY = 20
"""Steps between two checks that a loss is finite (on CUDA each check waits for the device)."""
TAIL = 0.1
"""The part of the training, at its end, that the recorded losses are averaged over."""


class NonFiniteLossError(ArithmeticError):
    """A loss was infinite or not a number."""


@dataclass
class Trained:
    """The outcome of one learner.

    Attributes:
        model: the trained model, in eval mode and without gradients.
        partner: the teacher that the method trained beside it, or None.
        steps: the optimiser steps of the recipe.
        seconds: the time of the training, as if the learner had been alone.
        images_per_second: training images a second of that time, those of the transfer set included.
        loss: the mean loss over the last tenth of the steps.
        distillation: the mean distillation loss over the same steps.
        curve: the loss and the validation metric during training.
        fitted: whether the method fitted something to validation data before.
        failure: a one-line reason and the traceback, or None.
    """

    model: nn.Module
    partner: nn.Module | None
    steps: int
    seconds: float
    images_per_second: float
    loss: float
    distillation: float
    curve: Curve
    fitted: bool = False
    failure: tuple[str, str] | None = None


@dataclass
class Partner:
    """A teacher that a method trains beside its student, or beside all students that do not feed back to it.

    Attributes:
        learner: the teacher in training, by its own recipe.
        batches: yields its own batches without end.
        seed: of its steps, which draw what they would if it were trained alone.
        ahead: by how many steps its recipe is longer than the student's: it takes them before the student's first.
        done: its steps so far.
        failure: what it failed with.
    """

    learner: Learner
    batches: Iterator[Batch]
    seed: int
    ahead: int
    done: int = 0
    failure: Exception | None = None

    def advance(self, feedback: Callable[[Tensor], Tensor] | None = None) -> None:
        """Take a step on the next batch. feedback: from the task's loss to what the teacher minimises."""
        if self.failure is not None:
            raise self.failure
        seed_generators(derive("step", self.seed, self.done), self.learner.task.device)
        try:
            self.learner.step(next(self.batches), None, self.done, self.learner.steps, feedback)
        except Exception as error:
            self.failure = error
            raise
        self.done += 1

    def state_dict(self) -> State:
        """Return what ``load_state_dict`` needs to go on."""
        failure = None if self.failure is None else str(self.failure)
        return {
            "learner": self.learner.state_dict(),
            "batches": state_of(self.batches),
            "done": self.done,
            "failure": failure,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where its like was."""
        self.learner.load_state_dict(state["learner"])
        restore(self.batches, state["batches"])
        self.done = state["done"]
        self.failure = None if state["failure"] is None else RuntimeError(state["failure"])

    def reach(self, step: int) -> None:
        """Take the steps that it lacks before a step of its students, which count from 0."""
        while self.done < self.ahead + step:
            self.advance()

    def answer(self, inputs: Inputs) -> Responses:
        """Return what it answers now: as it would if it were shipped."""
        task, model = self.learner.task, self.learner.model
        model.eval()
        with torch.no_grad():
            responses = task.responses(forward_pass(task, model, inputs, self.learner.recipe), inputs, model)
        model.train()
        return responses


@dataclass
class Learner:
    """A model in training, with the method that says what it minimises.

    Attributes:
        teacher: the frozen teacher whose responses the method compares with; it may also judge the model's output.
        distil: the method's distillation loss, or None where it has none.
        partner: a teacher that the method trains beside the model, or None.
        seconds: the time of the training so far, as if the learner were alone: its steps, its batches, and the
            responses of its teacher.
        examples: how many its batches had so far.
        fitted: whether the method asked for validation data to fit to.
    """

    task: Task
    model: nn.Module
    recipe: Recipe
    steps: int
    method: Method
    teacher: nn.Module = field(default_factory=nn.Identity)
    distil: Distillation | None = None
    partner: Partner | None = None
    failure: tuple[str, str] | None = None
    seconds: float = 0.0
    examples: int = 0
    fitted: bool = False
    optimisers: dict[int, torch.optim.Optimizer] = field(default_factory=dict)
    totals: Tensor = field(default_factory=lambda: torch.zeros(2))
    counted: int = 0
    recorder: CurveRecorder = field(init=False)

    def __post_init__(self) -> None:
        self.totals = self.totals.to(self.task.device)
        self.recorder = CurveRecorder(self.steps)
        self._add_optimiser(self.task.deployed(self.model), self.recipe.learning_rate)
        for name, adversary in self.task.adversaries(self.model).items():
            self._add_optimiser(adversary, self.task.adversary_learning_rate(name, self.recipe.learning_rate))

    def _add_optimiser(self, part: nn.Module, rate: float) -> None:
        self.optimisers[id(part)] = optimiser(part.parameters(), self.recipe, rate)

    @property
    def needs_responses(self) -> bool:
        """Whether the learner compares its model with a teacher that others may share: one that it does not change."""
        return self.distil is not None and self.method.teacher != "none" and not self.feeds_back

    @property
    def sees_transfer(self) -> bool:
        """Whether the learner compares its model with those of any teacher, and so learns from the transfer set."""
        return self.needs_responses or self.partner is not None

    @property
    def feeds_back(self) -> bool:
        """Whether the teacher that is trained beside the model learns from it."""
        return self.partner is not None and self.method.feeds_back

    @property
    def judge(self) -> nn.Module:
        """The teacher that the model is compared with."""
        return self.teacher if self.partner is None else self.partner.learner.model

    @property
    def teacher_recipe(self) -> Recipe:
        """The recipe that the frozen teacher was trained by, whose precision its passes have."""
        return self.task.settings.recipe("student" if self.method.teacher == "self" else "teacher")

    def step(
        self,
        batch: Batch,
        teacher: Responses | None,
        step: int,
        steps: int,
        feedback: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Take one optimiser step of every part of the model.

        Args:
            batch: the inputs of the step, the same for all learners.
            teacher: the responses of the learner's teacher to them, where it does not feed back to one.
            step: the number of the step, from 0.
            steps: the number of steps in all.
            feedback: from the loss to what is minimised in its place.

        Returns:
            The model's loss, a detached scalar.
        """
        rate, progress = rate_factor(self.recipe, step, steps), step / steps
        inputs = batch.whole if self.sees_transfer else batch.supervised
        outputs = forward_pass(self.task, self.model, inputs, self.recipe)
        supervised = batch.supervised_rows(outputs) if self.sees_transfer else outputs
        for name, adversary in self.task.adversaries(self.model).items():
            loss = self.task.adversary_loss(self.model, batch.supervised, supervised, name, self.recipe)
            self._update(adversary, loss, rate)
        distillation = self._distillation(inputs, outputs, teacher, step) * self.method.weight_factor(progress)
        task_loss = torch.zeros((), device=self.task.device)
        if self.method.sees_task_loss:
            task_loss = self.task.loss(self.model, batch.objective, supervised, self.recipe, progress)
        loss = self.method.student_loss(task_loss, distillation)
        if feedback is not None:
            loss = feedback(loss)
        self._update(self.task.deployed(self.model), loss, rate)
        self.examples += batch.rows(self.sees_transfer)
        self._record(loss, distillation, step, steps)
        return loss.detach()

    def _distillation(self, inputs: Inputs, outputs: Outputs, teacher: Responses | None, step: int) -> Tensor:
        """The distillation loss of one pass, a scalar: zero for a method without any."""
        if self.distil is None:
            return torch.zeros((), device=self.task.device)
        if self.partner is not None and self.feeds_back:
            teacher = self._mutual(self.partner, inputs, outputs, step)
        return self.distil(self.task.responses(outputs, inputs, self.judge), teacher or {})

    def _mutual(self, partner: Partner, inputs: Inputs, outputs: Outputs, step: int) -> Responses:
        """Let the teacher that the method trains take a step towards the student too; what it answers then."""
        task, model = self.task, partner.learner.model

        def feedback(loss: Tensor) -> Tensor:
            with torch.no_grad():
                student = task.responses(outputs, inputs, model)
            teacher = task.responses(forward_pass(task, model, inputs, partner.learner.recipe), inputs, model)
            return self.method.teacher_loss(loss, student, teacher)

        partner.reach(step)
        partner.advance(feedback)
        return partner.answer(inputs)

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

    def _record(self, loss: Tensor, distillation: Tensor, step: int, steps: int) -> None:
        due = step % CHECK_EVERY == 0 or step == steps - 1
        if due and not math.isfinite(value := loss.item()):
            raise NonFiniteLossError(f"the loss was {value} at step {step} of {steps}")
        if step >= steps - max(1, round(TAIL * steps)):
            self.totals += torch.stack([loss.detach(), distillation.detach()])
            self.counted += 1

    def state_dict(self) -> State:
        """Return what ``load_state_dict`` needs to go on; a partner, which others may share, is not part of it."""
        return {
            "model": self.model.state_dict(),
            "optimisers": [own.state_dict() for own in self.optimisers.values()],
            "distil": state_of(self.distil),
            "recorder": self.recorder.state_dict(),
            **{name: getattr(self, name) for name in _COUNTED},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where its like was."""
        self.model.load_state_dict(state["model"])
        for own, kept in zip(self.optimisers.values(), state["optimisers"], strict=True):
            own.load_state_dict(kept)
        restore(self.distil, state["distil"])
        self.recorder.load_state_dict(state["recorder"])
        for name in _COUNTED:
            setattr(self, name, state[name])
        self.totals = self.totals.to(self.task.device)

    def result(self) -> Trained:
        """Return the model as it is now, frozen, with its losses and curve."""
        loss, distillation = (self.totals / max(1, self.counted)).tolist()
        seconds = max(self.seconds, 1e-9)
        return Trained(
            read_only(self.model),
            None if self.partner is None else read_only(self.partner.learner.model),
            self.steps,
            self.seconds,
            self.examples / seconds,
            loss,
            distillation,
            self.recorder.curve(),
            self.fitted,
            self.failure,
        )


_COUNTED = ("failure", "seconds", "examples", "totals", "counted")


def forward_pass(task: Task, model: nn.Module, inputs: Inputs, recipe: Recipe) -> Outputs:
    """Return the outputs of one pass in the recipe's precision, in float32."""
    return in_precision(recipe.precision, task.device, lambda: task.forward(model, inputs))


def losses(
    task: Task, model: nn.Module, inputs: Inputs, outputs: Outputs, recipe: Recipe | None = None
) -> list[Tensor]:
    """Return the task's loss of one pass, then that of each adversary."""
    adversaries = (
        task.adversary_loss(model, inputs, outputs, adversary, recipe) for adversary in task.adversaries(model)
    )
    return [task.loss(model, inputs, outputs, recipe), *adversaries]
