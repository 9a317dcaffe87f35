"""Running what is missing of a suite: the plan, the jobs and their order, progress, tuning, figures."""
