"""The base of all forms of an exported model: its featuriser, labels and task type, and how it is asked.

The files are checked when they are read, see :mod:`harness.runtime.reading`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness.api import HarnessError, Model, Parameters, Unsupported
from harness.featurise import portable
from harness.featurise.featuriser import FILE, Featuriser
from harness.parameters import frozen
from harness.runtime.reading import LABELS, MANIFEST, labels_of, object_of, read_manifest, refuse
from harness.task_types.base import TaskType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Exported(Model):
    """A form of an exported model.

    A row of logits belongs to a text, a word or a MASK, depending on the task type. Words that were cut off
    at the maximum length have logits of zeros.
    """

    form: ClassVar[str]

    def __init__(self, folder: Path, task_type: TaskType | None = None) -> None:
        self.featuriser = _featuriser(folder)
        self.classes = labels_of(folder)
        self.task_type = task_type or _task_type(folder, self.featuriser, self.classes)
        self._short: Callable[[str], Any] | None = None

    @abstractmethod
    def single(self, ids: list[int]) -> NDArray[np.float32]:
        """Return the outputs for one text's ids: (C,), or (R, C) with a row for each word or MASK."""

    def check(self, folder: Path) -> None:
        """Raise HarnessError unless the files of the export belong together."""
        if (marks := type(self.featuriser).marks) != self.task_type.marks:
            refuse(
                folder,
                f"{FILE} marks {marks or 'nothing'}, but a model for {self.task_type.name} needs marks at "
                f"{self.task_type.marks or 'nothing'}; the files are from different exports",
            )
        if why := self.task_type.unfit(self.classes):
            refuse(folder, f"{LABELS} does not fit {MANIFEST}: {why}")

    @property
    def short(self) -> Callable[[str], Any]:
        """Return the fastest function from one text to its answer; it is used to measure latency."""
        if self._short is None:
            self._short = self.task_type.short(self)
        return self._short

    def answer(self, text: str) -> Any:
        """Return the answer to one text, in the form of the task type."""
        return self.short(text)

    def label(self, text: str) -> str:
        """Return the class of one text; raise Unsupported for another task type."""
        return self._called("label", text)  # type: ignore[no-any-return]

    def tags(self, text: str) -> list[str]:
        """Return the tag of each word of one text; raise Unsupported for another task type."""
        return self._called("tags", text)  # type: ignore[no-any-return]

    def tokens(self, text: str) -> list[str]:
        """Return the best token for each MASK of one text; raise Unsupported for another task type."""
        return self._called("tokens", text)  # type: ignore[no-any-return]

    def _called(self, method: str, text: str) -> Any:
        if method != self.task_type.call:
            raise Unsupported(
                f"cannot call {method}: this model is for {self.task_type.name}; "
                f"call {self.task_type.call}(text)"
            )
        return self.short(text)

    def best(self, logits: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the class of each row (R,); `counts` is the number of rows of each text."""
        return logits.argmax(axis=1)  # type: ignore[no-any-return]

    def decided(self, texts: Sequence[str]) -> NDArray[Any]:
        """Return the decisions for texts: the number of each row's class, or the task type's own form."""
        return self.task_type.decide(self, texts, self.predict(texts))

    def answered(self, texts: Sequence[str]) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return the decisions for texts, and the logits."""
        logits = self.predict(texts)
        return self.task_type.decide(self, texts, logits), logits

    def save(self, folder: Path) -> None:
        """Raise Unsupported: an exported model is its folder."""
        raise Unsupported("cannot save an exported model: copy its folder")

    def parameters(self) -> Parameters:
        """Raise Unsupported: a graph has further constants, and may have weights in another form."""
        raise Unsupported("cannot count the parameters of an exported model: count them before the export")


def _featuriser(folder: Path) -> Featuriser:
    """Return the featuriser; a plugin's is imported from the module in the manifest."""
    state = object_of(folder, FILE)
    kind = state.get("type")
    if portable.is_split(state):
        try:
            state = portable.joined(state, object_of(folder, portable.FILE))
        except ValueError as error:
            refuse(folder, str(error))
    if kind not in Featuriser._known and (folder / MANIFEST).is_file():
        _import(folder, read_manifest(folder).get("featuriser", ""), str(kind))
    try:
        return Featuriser.of(state)
    except HarnessError as error:
        refuse(folder, str(error))


def _task_type(folder: Path, featuriser: Featuriser, classes: Sequence[str]) -> TaskType:
    """Return the task type in the manifest, with the options chosen for this model."""
    # By name: an edit of one type must not change the keys of the others' steps. It imports the core's types.
    former = import_module("harness.task_types.former")
    named = read_manifest(folder).get("task_type") if (folder / MANIFEST).is_file() else None
    if named is None:  # an export of an earlier version
        return former.of_export(featuriser, classes)  # type: ignore[no-any-return]
    name, options = named.get("name"), named.get("options", {})
    if not isinstance(name, str) or not isinstance(options, dict):
        refuse(folder, f"{MANIFEST}: 'task_type' has no name, or its options are not an object")
    if name not in TaskType.known:
        _import(folder, str(named.get("module", "")), name)
    if name not in TaskType.known:
        refuse(
            folder,
            f"its plugin has no task type '{name}'; install the version of the plugin that wrote the export",
        )
    try:
        return TaskType.known[name](**{key: frozen(value) for key, value in options.items()})
    except TypeError as error:  # an option that this version does not know
        refuse(folder, f"{MANIFEST}: the options of '{name}' do not fit: {error}")


def _import(folder: Path, module: str, name: str) -> None:
    """Import a plugin's module, so that its classes are known.

    Raise HarnessError if it is not an installed plugin: a file must not choose which other code runs.
    """
    if module.partition(".")[0] not in _plugins():
        refuse(folder, f"'{name}' is from a plugin that is not installed: {module}")
    import_module(module)


def _plugins() -> set[str]:
    """Return the packages of the installed plugins."""
    from importlib.metadata import entry_points

    return {point.value.partition(":")[0].partition(".")[0] for point in entry_points(group="harness")}
