"""Distil a small model from a file of labelled texts."""
