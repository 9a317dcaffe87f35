"""A method written when methods, tasks and harness were packages of their own."""

from __future__ import annotations

from methods.base import Method


class BeforeTheMove(Method):
    """Import the contract from where it was."""
