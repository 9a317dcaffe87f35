"""The machine: its processor, limits and load, and the lock under which something is timed."""
