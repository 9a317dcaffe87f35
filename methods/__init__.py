"""Distillation methods: one file for each, with the method's name in suites; ``base.py`` is the contract."""
