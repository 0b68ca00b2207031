from __future__ import annotations

import re

from reporting import HOSTILE, Results, hostile

from harness.report.latex import escaped, to_latex


def rows(text: str) -> list[list[str]]:
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    return [line.removesuffix(r" \\").split(" & ") for line in body.splitlines() if line.endswith(r"\\")]


def test_a_table_has_a_line_for_each_row_by_role(results: Results) -> None:
    text = to_latex(results.board, results.records)
    found = rows(text)
    assert len(found) == 8
    assert [line[0] for line in found] == ["big", "wide", "small", "wide", "wide", "small", "small", "small"]
    assert text.count(r"\midrule") == 3  # below the head, and between three roles
    (columns,) = re.findall(r"\\begin\{tabular\}\{(\w+)\}", text)
    assert {len(line) for line in found} == {len(columns)}
    assert columns.startswith("lllr")
    assert found[3][3] == r"89.6 $\pm$ 0.6"


def test_missing_cells_and_minus_signs_are_typeset(results: Results) -> None:
    found = rows(to_latex(results.board, results.records))
    assert found[0][1:3] == ["---", "---"]
    assert any(cell.startswith("$-$") for line in found for cell in line)  # a recipe that costs points


def test_every_special_character_is_printed_as_it_stands() -> None:
    assert escaped(r"a_b%$&#{}") == r"a\_b\%\$\&\#\{\}"
    assert escaped("\\input{x}") == r"\textbackslash{}input\{x\}"
    assert escaped("~^<>|\"'`") == (
        r"\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}\textbar{}"
        r"\textquotedbl{}\textquotesingle{}\textasciigrave{}"
    )
    assert escaped("[x]*") == "{[}x{]}{*}"
    assert escaped("---") == "-{}-{}-"
    assert escaped("a\nb\u202ec") == "a b c"


def test_hostile_names_stay_in_their_cells() -> None:
    results = hostile()
    text = to_latex(results.board, results.records)
    ours = r"\\(begin|end|centering|caption|label|[a-z]+rule|text[a-z]+|pm|cdot|times|\\|[{}$&#_%])"
    for command in re.findall(r"\\(?:[a-zA-Z]+|.)", "\n".join(text.splitlines()[2:])):
        assert re.fullmatch(ours, command), command
    lines = rows(text)
    assert len({len(line) for line in lines}) == 1
    assert all("%" not in cell.replace(r"\%", "") for line in lines for cell in line)
    assert any(escaped(HOSTILE[3]) in cell for line in lines for cell in line)
    plain = re.sub(r"\\.", "", text)
    assert plain.count("{") == plain.count("}")


def test_no_results_make_no_table() -> None:
    results = Results()
    results.records = []
    text = to_latex(results.board, [])
    assert all(line.startswith("%") for line in text.splitlines())
