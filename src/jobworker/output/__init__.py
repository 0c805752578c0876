"""The reading of what a job has written, wherever it lies."""
