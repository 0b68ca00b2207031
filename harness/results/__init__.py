"""Collect, store, rank, test and compare the results of cells."""
