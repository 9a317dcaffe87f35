"""From a suite file to the runs that it means: layers of settings, checked and resolved."""
