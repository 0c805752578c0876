"""Reading what a job has written, wherever it lies."""
