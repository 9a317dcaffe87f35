"""The training of every cell written out a second time, in plain PyTorch, from the formulas in docs/methods.md.

Nothing here or in ``plain_cells`` comes from the harness or from a method, and of a task only its data, networks and
settings: what two independent programs agree on is hardly wrong in the same way twice. The optimiser is the unfused
one, and the gradients come from ``backward`` on contiguous images.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distillbench.tasks.base import Role, Task
from support.plain_cells import CELLS as CELLS
from support.plain_cells import Cell as Cell
from support.plain_cells import ClassificationCell as ClassificationCell
from support.plain_cells import Inputs, Outputs, Response, VAECell, fit, readout_loss, squared_error, tempered_kl
from support.plain_cells import Readout as Readout


@dataclass(frozen=True)
class Plan:
    """A method by name, with its hyperparameters; ``weight`` is a cross-model's γ, ``task_weight`` its λ.

    random_teacher and self_teacher are temperature, from a teacher that was never trained, or that is a student itself.
    """

    method: str = "scratch"
    weight: float = 1.0
    weight_schedule: str = "constant"
    temperature: float = 4.0
    alpha: float | None = None
    l2: float = 1e-2
    task_weight: float = 1.0
    mutual: bool = False
    rate_factor: float = 1.0
    weight_decay: float | None = None

    @property
    def alone(self) -> bool:
        """Whether the student has no teacher."""
        return self.method in ("scratch", "scratch_long", "label_smoothing")


ALONE = Plan()


@dataclass(frozen=True)
class Run:
    """What came of a training. loss, distillation: means over the last tenth of the steps."""

    model: nn.Module
    partner: nn.Module | None
    loss: float
    distillation: float


def derive(*parts: str | int) -> int:
    """A seed from named parts: 63 bits of SHA-256."""
    digest = hashlib.sha256("\0".join(str(part) for part in parts).encode()).hexdigest()
    return int(digest[:16], 16) // 2


def initial(task: Task, role: Role, seed: int) -> nn.Module:
    """A network whose weights depend on role and seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive("weights", role, seed))
        return task.network(role)


def batches(examples: int, size: int, rng: torch.Generator) -> Iterator[list[int]]:
    """One random order of all examples after another, cut into batches."""
    queue: list[int] = []
    while True:
        if len(queue) >= size:
            yield queue[:size]
            queue = queue[size:]
        else:
            queue = queue + torch.randperm(examples, generator=rng).tolist()


class Trainee:
    """A network with its optimisers: one step of Adam each, at a rate that falls to zero along a cosine.

    plan: what changes the recipe's rate or weight decay.
    """

    def __init__(self, cell: Cell, role: Role, seed: int, plan: Plan = ALONE, **adam: Any) -> None:
        self.cell, self.recipe = cell, getattr(cell.settings, role)
        decay = self.recipe.weight_decay if plan.weight_decay is None else plan.weight_decay
        self.network = initial(cell.task, role, seed).train()
        self.rates, self.optimisers = {}, {}
        for name, (part, factor) in cell.parts(self.network).items():
            self.rates[name] = self.recipe.learning_rate * plan.rate_factor * factor
            self.optimisers[name] = torch.optim.AdamW(
                part.parameters(), betas=self.recipe.betas, weight_decay=decay, **adam
            )

    def adversary_step(self, inputs: Inputs, outputs: Outputs, progress: float) -> None:
        """A step of the discriminator, which saw these outputs."""
        if "discriminator" in self.optimisers:
            self.descend("discriminator", self.cell.adversary_objective(self.network, inputs, outputs), progress)

    def objective(self, inputs: Inputs, outputs: Outputs, progress: float) -> Tensor:
        return self.cell.objective(self.network, inputs, outputs, self.recipe, progress)

    def descend(self, part: str, loss: Tensor, progress: float) -> None:
        optimiser = self.optimisers[part]
        optimiser.param_groups[0]["lr"] = self.rates[part] * (1 + math.cos(math.pi * progress)) / 2
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


class Feed:
    """The batches of a stream: of the splits that a model learns from, or of the transfer set."""

    def __init__(self, cell: Cell, splits: Sequence[str], size: int, recipe: Any, seed: int, as_given: bool) -> None:
        self.task, self.augment, self.as_given = cell.task, recipe.augment, as_given
        self.examples = [(split, i) for split in splits for i in range(len(getattr(cell.task.splits, split)))]
        self.rng = torch.Generator().manual_seed(seed)
        self.indices = batches(len(self.examples), size, self.rng)

    def next(self) -> Inputs:
        """Of several splits the examples of the first come first."""
        drawn = [self.examples[j] for j in next(self.indices)]
        members = {split: [i for its, i in drawn if its == split] for split in dict(self.examples)}
        parts = [
            self.task.shared_inputs(indices, self.rng, augment=self.augment, split=split)
            for split, indices in members.items()
            if indices
        ]
        whole = {name: torch.cat([part[name] for part in parts]) if parts[1:] else parts[0][name] for name in parts[0]}
        return {name: value if self.as_given else value.contiguous() for name, value in whole.items()}


def learnt_splits(cell: Cell, role: Role) -> list[str]:
    """What a role's own objective sees: a VAE's teacher the transfer set as well, another teacher what is withheld."""
    more = "transfer" if isinstance(cell, VAECell) else "withheld"
    return ["train", *([more] if role == "teacher" and getattr(cell.task.splits, more) is not None else [])]


def joined(first: Inputs, second: Inputs) -> Inputs:
    """The rows of both, of what both have: there is no ground truth of a transfer set."""
    return {name: torch.cat([first[name], second[name]]) for name in first if name in second}


def first_rows(outputs: Outputs, count: int) -> Outputs:
    return {k: first_rows(v, count) if isinstance(v, dict) else v[:count] for k, v in outputs.items()}


def seed_step(stream: int, step: int) -> None:
    # For dropout. The CPU's generator alone: torch.manual_seed takes longer than a step of these networks.
    torch.default_generator.manual_seed(derive("step", stream, step))


class Beside:
    """A teacher that learns beside its student, by its own recipe: it begins earlier where this is longer."""

    def __init__(self, cell: Cell, seed: int, steps: int, as_given: bool, **adam: Any) -> None:
        self.cell, self.trainee, self.stream = cell, Trainee(cell, "teacher", seed, **adam), derive("teacher", seed)
        recipe = self.trainee.recipe
        self.feed = Feed(
            cell,
            learnt_splits(cell, "teacher"),
            cell.settings.batch_size,
            recipe,
            derive("batches", self.stream),
            as_given,
        )
        self.done, self.steps = 0, max(recipe.steps or cell.settings.steps, steps)
        while self.done < self.steps - steps:
            self.step()

    def step(self, answered: Inputs | None = None, student: Outputs | None = None, plan: Plan = ALONE) -> None:
        """A step on a batch of its own; where it is mutual also towards the student, on what that answered."""
        seed_step(self.stream, self.done)
        network, progress, inputs = self.trainee.network, self.done / self.steps, self.feed.next()
        outputs = self.cell.forward(network, inputs)
        self.trainee.adversary_step(inputs, outputs, progress)
        loss = self.trainee.objective(inputs, outputs, progress)
        if plan.mutual and answered is not None and student is not None:
            mine = self.cell.responses(self.cell.forward(network, answered), network)
            theirs = self.cell.responses(student, network)
            loss = loss + plan.weight * divergence(self.cell, plan, theirs, mine, None)
        self.trainee.descend("model", loss, progress)
        self.done += 1

    def answers(self, inputs: Inputs) -> dict[str, Response]:
        """What it says now, as if its training were at an end."""
        network = self.trainee.network
        with torch.no_grad():
            answers = self.cell.responses(self.cell.forward(network.eval(), inputs), network)
        network.train()
        return answers


def train(
    cell: Cell,
    role: Role,
    seed: int,
    plan: Plan = ALONE,
    teacher: nn.Module | None = None,
    readouts: Mapping[str, Readout] | None = None,
    same_kernels: bool = False,
) -> Run:
    """A teacher alone, or a student of a frozen ``teacher``; or of one that learns beside it (cross_model).

    A student that has a teacher learns from it on the transfer set too, where there is one: its own objective sees the
    other rows alone.

    readouts: what a logistic student looks through, where it is not to be fitted here.
    same_kernels: take the fused optimiser, and images in the layout that the task gives them, as the harness does: not
    another way to the same result, but the same rounding.
    """
    task, settings, recipe = cell.task, cell.settings, getattr(cell.settings, role)
    adam = {"fused": True} if same_kernels else {"fused": False, "foreach": False}
    stream = derive("teacher", seed) if role == "teacher" else seed
    longer = settings.teacher if plan.method == "scratch_long" else recipe
    steps = longer.steps or settings.steps
    feed = Feed(cell, learnt_splits(cell, role), settings.batch_size, recipe, derive("batches", stream), same_kernels)
    transfer = None
    if task.splits.transfer is not None and not plan.alone:
        rows = settings.transfer_batch or settings.batch_size
        transfer = Feed(cell, ["transfer"], rows, recipe, derive("transfer", stream), same_kernels)
    learner = Trainee(cell, role, seed, plan, **adam)
    beside = Beside(cell, seed, steps, same_kernels, **adam) if plan.method == "cross_model" else None
    if plan.method == "random_teacher":
        teacher = initial(task, "teacher", seed).eval().requires_grad_(False)
    if plan.method == "logistic" and readouts is None:
        assert teacher is not None
        readouts = fit_readouts(cell, teacher, seed, plan.l2)
    tail = []
    for step in range(steps):
        supervised = feed.next()
        inputs = supervised if transfer is None else joined(supervised, transfer.next())
        seed_step(stream, step)
        progress = step / steps
        outputs = cell.forward(learner.network, inputs)
        labelled = outputs if transfer is None else first_rows(outputs, settings.batch_size)
        learner.adversary_step(supervised, labelled, progress)
        distillation = torch.zeros(())
        if beside is not None:
            beside.step(inputs, outputs, plan)
            target = beside.answers(inputs)
            student = cell.responses(outputs, beside.trainee.network)
            distillation = divergence(cell, plan, target, student, readouts)
        elif plan.method == "label_smoothing":
            distillation = F.cross_entropy(outputs["logits"], supervised["labels"], label_smoothing=1.0)
        elif not plan.alone:
            assert teacher is not None
            with torch.no_grad():
                target = cell.responses(cell.forward(teacher, inputs), teacher)
            distillation = divergence(cell, plan, target, cell.responses(outputs, teacher), readouts)
        distillation = distillation * (1 - progress if plan.weight_schedule == "linear" else 1)
        # Left out where it counts for nothing: a pass through a discriminator in training changes it.
        objective = learner.objective(supervised, labelled, progress) if plan.task_weight else torch.zeros(())
        if plan.method == "label_smoothing":
            loss = F.cross_entropy(outputs["logits"], supervised["labels"], label_smoothing=plan.weight)
        elif plan.alpha is not None:
            loss = (1 - plan.alpha) * objective + plan.alpha * distillation
        else:
            loss = plan.task_weight * objective + plan.weight * distillation
        learner.descend("model", loss, progress)
        tail.append((loss.item(), distillation.item()))
    tail = tail[-max(1, round(0.1 * steps)) :]
    means = [sum(values) / len(tail) for values in zip(*tail, strict=True)]
    partner = None if beside is None else beside.trainee.network.eval()
    return Run(learner.network.eval(), partner, means[0], means[1])


def divergence(
    cell: Cell,
    plan: Plan,
    teacher: Mapping[str, Response],
    student: Mapping[str, Response],
    readouts: Mapping[str, Readout] | None,
) -> Tensor:
    """The distillation loss of a method, summed over what is compared."""
    total = torch.zeros(())
    for name in readouts or teacher:
        t, s = teacher[name].detach(), student[name]
        if plan.method == "mimic":
            total = total + squared_error(t, s)
        elif plan.method == "hard_labels":
            total = total + F.nll_loss(F.log_softmax(s.values, 1), t.values.argmax(1))
        elif readouts is not None:
            total = total + readout_loss(readouts[name], cell.evidence(t), cell.evidence(s))
        else:
            total = total + tempered_kl(t, s, 1.0 if plan.method == "cross_model" else plan.temperature)
    return total


@torch.no_grad()
def fit_readouts(cell: Cell, teacher: nn.Module, seed: int, l2: float) -> dict[str, Readout]:
    """W and b of every response that has a truth, on the data to fit to."""
    truths = cell.truth(teacher, torch.Generator().manual_seed(derive("events", seed)))
    return {name: fit(cell.evidence(truth.response), truth, l2, cell.elementwise) for name, truth in truths.items()}
