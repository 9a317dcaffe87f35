"""What can be named in a suite: methods, tasks and networks, of ours and of other packages."""
