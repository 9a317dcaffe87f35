"""How a network sees its input: in its own units, in a precision."""
