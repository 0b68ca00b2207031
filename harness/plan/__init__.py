"""Turn a suite into cells and the steps that they share, without importing torch."""
