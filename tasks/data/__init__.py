"""Images: embedded sets that ship inside installed packages, standard sets by name, and folders of the user's own."""
