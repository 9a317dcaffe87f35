"""A learner: one model in training, the method that says what it minimises, and its optimisers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from distillbench.bench.training.curves import Curve, CurveRecorder
from distillbench.bench.training.optimisation import optimiser, rate_factor
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
        seconds: the time of the learner's own steps.
        images_per_second: training images a second of that time.
        loss: the mean loss over the last tenth of the steps.
        distillation: the mean distillation loss over the same steps.
        curve: the loss and the validation metric during training.
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
    failure: tuple[str, str] | None = None


@dataclass
class Learner:
    """A model in training, with the method that says what it minimises.

    Attributes:
        teacher: the frozen teacher whose responses the method compares with; it may also judge the model's output.
        distil: the method's distillation loss, or None without a teacher.
        partner: a teacher that the method trains beside the model, or None; ``partner_recipe`` is its recipe.
        seconds: the time of the steps so far.
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

    @property
    def needs_responses(self) -> bool:
        """Whether the learner compares its model with the responses of a frozen teacher."""
        return self.distil is not None and self.partner is None

    def step(self, inputs: Inputs, teacher: Responses | None, step: int, steps: int) -> Tensor:
        """Take one optimiser step of every part of the model.

        Args:
            inputs: the inputs of the step, the same for all learners.
            teacher: the responses of the learner's frozen teacher to them, where it has one.
            step: the number of the step, from 0.
            steps: the number of steps in all.

        Returns:
            The model's loss, a detached scalar.
        """
        rate = rate_factor(self.recipe, step, steps)
        outputs = forward_pass(self.task, self.model, inputs, self.recipe)
        self._train_adversaries(self.model, inputs, outputs, self.recipe, rate)
        distillation = torch.zeros((), device=self.task.device)
        if self.partner is not None and self.partner_recipe is not None:
            partner_rate = rate_factor(self.partner_recipe, step, steps)
            distillation = self._train_partner(self.partner, inputs, outputs, self.partner_recipe, partner_rate)
        elif self.distil is not None and teacher is not None:
            distillation = self.distil(self.task.responses(outputs, inputs, self.teacher), teacher)
        task_loss = self.task.loss(self.model, inputs, outputs, self.recipe)
        loss = self.method.student_loss(task_loss, distillation)
        self._update(self.task.deployed(self.model), loss, rate)
        self._record(loss, distillation, step, steps)
        return loss.detach()

    def _train_adversaries(
        self, model: nn.Module, inputs: Inputs, outputs: Outputs, recipe: Recipe, rate: float
    ) -> None:
        for name, adversary in self.task.adversaries(model).items():
            self._update(adversary, self.task.adversary_loss(model, inputs, outputs, name, recipe), rate)

    def _train_partner(
        self, partner: nn.Module, inputs: Inputs, student_outputs: Outputs, recipe: Recipe, rate: float
    ) -> Tensor:
        """Take one step of the teacher that the method trains; return the student's distillation loss towards it."""
        outputs = forward_pass(self.task, partner, inputs, recipe)
        self._train_adversaries(partner, inputs, outputs, recipe, rate)
        student = self.task.responses(student_outputs, inputs, partner)
        teacher = self.task.responses(outputs, inputs, partner)
        distil = self.distil or self.method.distillation_loss
        distillation = distil(student, _detached(teacher))
        task_loss = self.task.loss(partner, inputs, outputs, recipe)
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

    def _record(self, loss: Tensor, distillation: Tensor, step: int, steps: int) -> None:
        due = step % CHECK_EVERY == 0 or step == steps - 1
        if due and not math.isfinite(value := loss.item()):
            raise NonFiniteLossError(f"the loss was {value} at step {step} of {steps}")
        if step >= steps - max(1, round(TAIL * steps)):
            self.totals += torch.stack([loss.detach(), distillation.detach()])
            self.counted += 1

    def result(self) -> Trained:
        """Return the model as it is now, frozen, with its losses and curve."""
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


def _detached(responses: Responses) -> Responses:
    return {name: response.detach() for name, response in responses.items()}
