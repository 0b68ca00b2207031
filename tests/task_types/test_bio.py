"""Schemes of tags, which all become BIO."""

from __future__ import annotations

import pytest

from harness.api import HarnessError
from harness.task_types.bio import classes_of, kinds_of, to_bio


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["O", "B-per", "I-per", "O"], ["O", "B-per", "I-per", "O"]),
        (["I-per", "I-per", "B-per", "I-loc"], ["B-per", "I-per", "B-per", "B-loc"]),  # IOB1
        (["S-per", "B-per", "E-per", "S-loc"], ["B-per", "B-per", "I-per", "B-loc"]),  # IOBES
        (["U-per", "B-per", "I-per", "L-per"], ["B-per", "B-per", "I-per", "I-per"]),  # BILOU
        (["B-creative-work", "I-creative-work"], ["B-creative-work", "I-creative-work"]),
        (["E-per", "I-per"], ["B-per", "B-per"]),
        ([], []),
    ],
)
def test_schemes(given: list[str], expected: list[str]) -> None:
    assert to_bio(given) == expected


@pytest.mark.parametrize("tag", ["per", "X-per", "B-", "-per", "BI-per", "o"])
def test_what_is_no_tag(tag: str) -> None:
    with pytest.raises(HarnessError, match="expected a tag O or X-type, with X one of"):
        to_bio(["O", tag])


def test_classes_have_both_tags_of_each_type() -> None:
    found = classes_of(["O", "B-per", "O", "B-loc", "I-loc"])
    assert found == ("O", "B-loc", "I-loc", "B-per", "I-per") and list(kinds_of(found)) == ["loc", "per"]
