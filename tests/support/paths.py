"""Where things lie that tests look at."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = ROOT / "tests" / "support"
USER = SUPPORT / "user"
"""A folder of modules as a user has them."""
PLUGIN = SUPPORT / "plugin"
"""Another package, with a method, a task and a network that it registers."""
GOLDEN = ROOT / "tests" / "golden"
