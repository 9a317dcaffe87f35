"""Times of networks in launches, interleaved, on a machine that does nothing else."""
