"""From records to numbers: series over seeds, comparisons, summaries, speeds."""
