"""Distillation methods: one file each, named as the method is named in a suite; ``base.py`` is the contract."""
