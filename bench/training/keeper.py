"""Keeps the state of a group of learners in a checkpoint, and takes it up again."""

from __future__ import annotations

from collections.abc import Mapping

from distillbench.bench.training.checkpoint import Checkpoint, State, restore, state_of
from distillbench.bench.training.learner import Learner, Partner


class Keeper:
    """The state of learners that train together, one length of training after the other."""

    def __init__(self, checkpoint: Checkpoint, learners: Mapping[str, Learner]) -> None:
        """Take up the state that a checkpoint has, if it has one.

        Args:
            checkpoint: Where states are kept.
            learners: By name, as they were before the first step.
        """
        self._checkpoint, self._learners = checkpoint, learners
        self._stage = 0
        self._kept: State | None = checkpoint.load()
        if self._kept is not None:
            for name, learner in learners.items():
                learner.load_state_dict(self._kept["learners"][name])
            for partner, state in zip(self._partners, self._kept["partners"], strict=True):
                partner.load_state_dict(state)

    @property
    def _partners(self) -> list[Partner]:
        """Each once, though several learners share one."""
        partners = (learner.partner for learner in self._learners.values() if learner.partner is not None)
        return list({id(partner): partner for partner in partners}.values())

    def begin(self, stage: int) -> bool:
        """Begin with the learners of a length; False where the checkpoint says that they have ended.

        Args:
            stage: The number of the length, from 0.
        """
        self._stage = stage
        return self._kept is None or stage >= int(self._kept["stage"])

    def restore(self, *streams: object) -> int:
        """Take up the streams of batches of the stage that the checkpoint is of.

        Returns:
            The steps that were done.
        """
        kept, self._kept = self._kept, None
        if kept is None or kept["stage"] != self._stage:
            return 0
        for stream, state in zip(streams, kept["streams"], strict=True):
            restore(stream, state)
        return int(kept["step"])

    def keep(self, step: int, *streams: object) -> None:
        """Keep the state after a step, where it is due.

        Args:
            step: The steps that are done.
            streams: Of batches.
        """
        if self._checkpoint.due():
            self._checkpoint.keep(
                {
                    "stage": self._stage,
                    "step": step,
                    "streams": [state_of(stream) for stream in streams],
                    "learners": {name: learner.state_dict() for name, learner in self._learners.items()},
                    "partners": [partner.state_dict() for partner in self._partners],
                }
            )
