"""``python -m distillbench``."""

from distillbench.bench.cli import main

main()
