"""What every other package uses: errors, the registry of plugins, paths, atomic files, untrusted text."""
