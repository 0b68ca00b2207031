"""What each kind of step does: one module a kind, each with ``run(job) -> result``.

This file stays empty of code: a step's key covers the modules that its kind imports, and an edit of
how steps are stored or scheduled must not make anyone train a teacher again.
"""
