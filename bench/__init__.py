"""The harness: from a suite to trained students, records, times and tables."""
