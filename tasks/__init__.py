"""Tasks: one file each, named as the task is named in a suite; ``base.py`` is the contract."""
