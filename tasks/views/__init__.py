"""How one view of an image is put into the units of each network that looks at it."""
