"""Figures of a results folder: what the models of a task and pair make of the same test inputs."""
