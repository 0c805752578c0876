"""What a manager of jobs is: decisions, what carries them out, and the ports that it needs."""
