"""Images: embedded sets that ship inside installed packages, and folders of the user's own."""
