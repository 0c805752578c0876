"""One file a verb, and nothing else."""
