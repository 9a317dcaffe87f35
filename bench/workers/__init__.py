"""Where jobs run. An executor knows nothing of what a job does but its name and what it needs."""
