"""What this machine is and what it is doing: processor, limits, load, the lock of whoever times."""
