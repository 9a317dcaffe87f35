"""How a student learns: the loop, its optimiser and curve, seeds, and what a network must keep to."""
