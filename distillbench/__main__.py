"""``python -m distillbench``."""

from bench.cli import main

main()
