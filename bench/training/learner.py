"""A learner: one model in training, the method that says what it minimises, and its optimisers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

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
    """A teacher that a method trains beside its student.

    Attributes:
        learner: the teacher in training, by its own recipe; it is ahead by the steps that this is longer.
        batches: yields its own batches without end.
        seed: of its steps, which draw what they would if it were trained alone.
        done: its steps so far.
    """

    learner: Learner
    batches: Iterator[Batch]
    seed: int
    done: int = 0

    def advance(self, feedback: Callable[[Tensor], Tensor] | None = None) -> None:
        """Take a step on the next batch. feedback: from the task's loss to what the teacher minimises."""
        seed_generators(derive("step", self.seed, self.done), self.learner.task.device)
        self.learner.step(next(self.batches), None, self.done, self.learner.steps, feedback)
        self.done += 1


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
        """Whether the learner compares its model with the responses of a frozen teacher."""
        return self.distil is not None and self.partner is None and self.method.teacher != "none"

    @property
    def sees_transfer(self) -> bool:
        """Whether the learner compares its model with those of any teacher, and so learns from the transfer set."""
        return self.needs_responses or self.partner is not None

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
            teacher: the responses of the learner's frozen teacher to them, where it has one.
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
        distillation = self._distillation(inputs, outputs, teacher) * self.method.weight_factor(progress)
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

    def _distillation(self, inputs: Inputs, outputs: Outputs, teacher: Responses | None) -> Tensor:
        """The distillation loss of one pass, a scalar: zero for a method without any."""
        if self.distil is None:
            return torch.zeros((), device=self.task.device)
        if self.partner is not None:
            return self._towards(self.partner, inputs, outputs)
        return self.distil(self.task.responses(outputs, inputs, self.teacher), teacher or {})

    def _towards(self, partner: Partner, inputs: Inputs, outputs: Outputs) -> Tensor:
        """Let the teacher that the method trains take a step; the distillation loss towards what it answers then."""
        assert self.distil is not None
        task, model, recipe = self.task, partner.learner.model, partner.learner.recipe

        def feedback(loss: Tensor) -> Tensor:
            with torch.no_grad():
                student = task.responses(outputs, inputs, model)
            return self.method.teacher_loss(loss, student, self._responses(model, inputs, recipe))

        partner.advance(feedback if self.method.feeds_back else None)
        model.eval()  # a teacher answers as it would if it were shipped now
        with torch.no_grad():
            teacher = self._responses(model, inputs, recipe)
        model.train()
        return self.distil(task.responses(outputs, inputs, model), teacher)

    def _responses(self, teacher: nn.Module, inputs: Inputs, recipe: Recipe) -> Responses:
        return self.task.responses(forward_pass(self.task, teacher, inputs, recipe), inputs, teacher)

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
