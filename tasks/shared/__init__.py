"""What several tasks share: bases of tasks, and a cache."""
