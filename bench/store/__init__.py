"""What lies in a results folder: records, timings, exports, figures, weights; read, checked, and written whole."""
