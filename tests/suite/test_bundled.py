"""Suites by path and by name, those of the package too."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

import harness
from harness.cli import main
from harness.results.locate import results_of
from harness.suite.bundled import bundled, find, suggested, title
from harness.values import HarnessError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_suites_of_the_repository_come_with_the_package() -> None:
    assert {path.resolve() for path in bundled().values()} == set((ROOT / "suites").resolve().glob("*.toml"))
    for name, path in bundled().items():
        assert tomllib.loads(path.read_text(encoding="utf-8"))["suite"]["name"] == name == path.stem
        assert 5 < len(title(path)) < 90


def test_a_title_is_the_start_of_the_first_comment(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    for text, said in (
        ("# Tweets, by Tang et al.'s\n# rules. More.\n[suite]\n", "Tweets, by Tang et al.'s rules"),
        ("# How small?\n# As this.\n", "How small?"),
        ("#\n# Tweets: six classes\n", "Tweets"),
        ("[suite]\n# no title\n", ""),
    ):
        path.write_text(text)
        assert title(path) == said


def test_a_file_comes_before_a_name() -> None:
    assert find(Path("emotion")) == bundled()["emotion"]
    Path("emotion").mkdir()  # a folder is no suite
    assert find(Path("emotion")) == bundled()["emotion"]
    Path("emotion.toml").touch()
    assert find(Path("emotion")) == find(Path("emotion.toml")) == Path("emotion.toml")
    assert find(Path("suites/emotion")) == Path("suites/emotion")
    assert find(Path()) == Path()


def test_near_matches_are_files_and_names() -> None:
    assert suggested(Path("emotin")) == suggested(Path("emotin.toml")) == ["emotion"]
    Path("motion.toml").touch()
    assert suggested(Path("emotin")) == ["motion.toml", "emotion"]
    shutil.copytree(ROOT / "suites", "suites")
    assert suggested(Path("suites/emotin.toml")) == ["suites/emotion.toml"]
    assert suggested(Path("xyzzy")) == []


def test_results_are_found_by_the_name_of_a_suite_of_the_package() -> None:
    results = Path("results")
    with pytest.raises(HarnessError, match=r"'emotion' in results/; run: harness bench emotion$"):
        results_of(Path("emotion"), results)
    with pytest.raises(HarnessError, match=r"; did you mean emotion\?$"):
        results_of(Path("emotin"), results)
    with pytest.raises(HarnessError, match=r"; there are results of no suite$"):
        results_of(Path("xyzzy"), results)
    (results / "emotion").mkdir(parents=True)
    (results / "emotion" / "records.jsonl").touch()
    assert results_of(Path("emotion"), results) == results / "emotion"
    assert results_of(bundled()["emotion"], results) == results / "emotion"
    with pytest.raises(HarnessError, match=r"; there are results of emotion$"):
        results_of(Path("xyzzy"), results)


def test_the_command_lists_and_prints_them() -> None:
    def said(*arguments: str) -> str:
        return CliRunner().invoke(main, ["suites", *arguments]).output

    lines = said().splitlines()
    assert [line.split()[0] for line in lines] == list(bundled())
    assert "emotion               Emotion tweets, six classes" in lines
    assert said("emotion") == said("emotion.toml") == bundled()["emotion"].read_text(encoding="utf-8")
    assert '"name": "emotion"' in said("--json")
    assert "unknown suite 'emotin'; did you mean 'emotion'?" in said("emotin")


@pytest.mark.parametrize("command", ["plan", "bench", "leaderboard", "report", "recommend", "diagnose"])
def test_every_command_names_the_nearest_suite(command: str) -> None:
    done = CliRunner().invoke(main, [command, "emotin"])
    assert done.exit_code == 2 and "Traceback" not in done.output
    assert "did you mean emotion?" in done.output


def test_a_wheel_has_them_in_the_package(tmp_path: Path) -> None:
    """A copy of the package without the repository around it, as a wheel leaves it."""
    site = tmp_path / "site"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(harness.__file__).parent, site / "harness", ignore=ignored)
    shutil.copytree(ROOT / "suites", site / "harness" / "suites")
    code = "from harness.suite.bundled import bundled; print(*bundled(), bundled()['emotion'])"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*bundled(), str(site / "harness" / "suites" / "emotion.toml")]
