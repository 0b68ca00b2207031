"""Implement ``harness export``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness import HarnessError
from harness.commands.console import complain, show
from harness.commands.options import HELP, STORE, reported, results_option
from harness.wording import choices


@click.command(
    context_settings=HELP,
    epilog="""\b
    Examples:
      harness export 3f2a model
      harness export student=mlp,loss=kl,augmenter=mix model --suite emotion
      harness export 3f2a model --form onnx-int8
      harness export 3f2a model --demo
      harness export 3f2a model --license apache-2.0 --push me/emotions
    """,
)
@click.argument("cell")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--suite",
    type=click.Path(path_type=Path),
    help="Suite to search: a name, file or folder.  [default: all]",
)
@click.option(
    "--form",
    metavar="NAME",
    help="The only form to ship, e.g. onnx-int8.  [default: all forms, and the weights of transformers]",
)
@click.option(
    "--license", "licence", default="", metavar="CODE", help="Licence on the card.  [default: other]"
)
@click.option("--language", default="", metavar="CODE", help="Language of the texts on the card, e.g. en.")
@click.option("--demo", is_flag=True, help="Add a page, demo.html, that runs the model in a browser.")
@click.option(
    "--demo-examples",
    "examples",
    metavar="N",
    type=click.IntRange(min=0),
    default=6,
    show_default=True,
    help="Texts of the test split that the page shows; 0 for private data.",
)
@click.option(
    "--demo-runtime",
    "runtime",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder of npm install with the page's libraries.  [default: downloaded once]",
)
@click.option("--push", "repository", metavar="REPO_ID", help="Upload DIR to this repository of the hub too.")
@click.option("--private", is_flag=True, help="If --push makes the repository, make it private.")
@results_option("Folder with the results of suites.")
@STORE
@reported
def export(
    cell: str,
    folder: Path,
    suite: Path | None,
    form: str | None,
    licence: str,
    language: str,
    demo: bool,
    examples: int,
    runtime: Path | None,
    repository: str | None,
    private: bool,
    results: Path,
    store: Path,
) -> None:
    """Write a measured model to a folder that can be shipped.

    CELL is the start of a cell's key, or a selector of a row such as student=mlp,loss=kl. If the row has
    several seeds, the one with the best validation score is exported. DIR gets everything that is needed to
    run the model, and a card that describes it. For a transformer it gets the files of Transformers,
    Optimum and transformers.js too. With --demo, open DIR/demo.html to try the model: it needs no server.
    """
    from harness import bundle
    from harness.report.html.demo import FILE, libraries
    from harness.runtime.forms import FORMS
    from harness.storage.inventory import using
    from harness.storage.shared import opened

    if form is not None and form not in FORMS:
        raise HarnessError(f"unknown form '{form}'{choices(form, FORMS)}")
    if private and repository is None:
        raise HarnessError("cannot use --private without --push")
    if runtime is not None and not demo:
        raise HarnessError("cannot use --demo-runtime without --demo")
    code = libraries(runtime, lambda line: complain(line + "\n")) if demo else None
    record = bundle.choose(bundle.read(results, suite), cell)
    kept = opened(store)
    with using(kept, (record.get("artefacts") or {}).values()):
        files = bundle.write(record, kept, folder, form=form, licence=licence, language=language)
        show("".join(f"{size:>12,}  {folder / name}\n" for name, size in files.items()))
        if code is not None:
            size = bundle.demonstrate(record, kept, folder, code, form, examples)
            show(f"{size:>12,}  {folder / FILE}\n")
    exported: Any = record.get("export") or {}
    if form is None and exported.get("why"):
        complain(str(exported["why"]))
    if repository is not None:
        show(f"{bundle.push(folder, repository, private)}\n")
