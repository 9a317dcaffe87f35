"""What everything else stands on: errors, the registry of plugins, paths, atomic files, text from outside."""
