"""List the frequent words of a language."""

from __future__ import annotations

import difflib

import harness

_EXTRA = "pip install 'distil-harness[languages]'"


def check_language(code: str) -> None:
    """Raise ValueError if there is no list of words for a language; without the package, accept all codes."""
    try:
        from wordfreq import available_languages
    except ImportError:
        return
    known = sorted(available_languages())
    if code not in known:
        near = difflib.get_close_matches(code, known, 1, 0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown language {code!r}; {hint}allowed are {', '.join(known)}")


def list_of(code: str) -> str:
    """Return the identity of the list of words for a language. Raise Unavailable without its package."""
    from importlib import metadata

    try:
        return f"wordfreq {metadata.version('wordfreq')}, {code}"
    except metadata.PackageNotFoundError:
        raise harness.Unavailable(
            f"the words of language {code!r} need the package wordfreq: {_EXTRA}"
        ) from None


def frequent_words(code: str, most: int) -> set[str]:
    """Return the `most` most frequent words of a language, in lower case.

    The lists are those of wordfreq (Speer, 2022, doi 10.5281/zenodo.7199437). Raise Unavailable without it.
    """
    list_of(code)
    from wordfreq import top_n_list

    return set(top_n_list(code, most))
