"""The commands of ``distillbench``, one a file: parse, call, print."""
