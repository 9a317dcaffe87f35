"""The commands of ``distillbench``, one file each: they parse, call and print."""
