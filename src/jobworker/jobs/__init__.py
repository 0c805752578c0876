"""The manager of jobs: decisions, the parts that carry them out, and the ports it needs."""
