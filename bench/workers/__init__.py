"""Where jobs run: the interface of an executor, and processes of this machine as the one that implements it."""
