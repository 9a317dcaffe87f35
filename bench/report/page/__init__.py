"""A results folder as a static site."""
