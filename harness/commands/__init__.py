"""Implement the commands, and what they show in the terminal."""
