"""Protect this process, and the steps that run in it, from what plugins do."""
