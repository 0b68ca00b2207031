"""The kinds of step: one module for each, with ``run(job) -> result``.

This file contains no code: a step's key covers the modules that its kind imports, and a change to how steps
are stored or scheduled must not cause a teacher to be trained again.
"""
