"""List the frequent words of a language, and recognise the language of texts."""

from __future__ import annotations

from collections.abc import Sequence

import harness
from harness.wording import nearest
from harness_augmenters.classes import BARE
from harness_augmenters.lexicon import count

AUTO = "auto"  # in place of a language: the one that the texts are in
_COMMON = 500  # most frequent words of a language, by which it is recognised
_FEWEST = 0.1  # least share of a text's words that must be among them
_EXTRA = "pip install 'distil-harness[languages]'"


def check_language(code: str) -> None:
    """Raise ValueError unless a language is "auto" or has a list of words.

    Without the package, all codes are accepted.
    """
    try:
        from wordfreq import available_languages
    except ImportError:
        return
    known = sorted(available_languages())
    if code not in (AUTO, *known):
        hint = nearest(code, known) or ";"
        raise ValueError(f"unknown language {code!r}{hint} allowed are {AUTO}, {', '.join(known)}")


def list_of(code: str) -> str:
    """Return the identity of the list of words for a language. Raise Unavailable without its package."""
    from importlib import metadata

    try:
        return f"wordfreq {metadata.version('wordfreq')}, {code}"
    except metadata.PackageNotFoundError:
        raise harness.Unavailable(f"language = {code!r} needs the package wordfreq: {_EXTRA}") from None


def frequent_words(code: str, most: int) -> set[str]:
    """Return the `most` most frequent words of a language, in lower case.

    The lists are those of wordfreq (Speer, 2022, doi 10.5281/zenodo.7199437). Raise Unavailable without it.
    """
    list_of(code)
    from wordfreq import top_n_list

    return set(top_n_list(code, most))


def language_of(corpus: Sequence[str]) -> str:
    """Return the language whose most frequent words make up most of the words of some texts.

    Return "" if that is less than a tenth for every language. Raise Unavailable without the package wordfreq.
    """
    list_of(AUTO)
    from wordfreq import available_languages, top_n_list

    counts: dict[str, int] = {}
    for word, number in count(corpus).items():
        bare = BARE.fullmatch(word)[2].lower()  # type: ignore[index]
        counts[bare] = counts.get(bare, 0) + number
    total = sum(counts.values())
    shares = {
        code: sum(counts.get(word, 0) for word in top_n_list(code, _COMMON, "small"))
        for code in sorted(available_languages("small"))
    }
    best = max(shares, key=shares.__getitem__)
    return best if total and shares[best] >= _FEWEST * total else ""
