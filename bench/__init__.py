"""distillbench: the harness."""
