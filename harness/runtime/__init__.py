"""Run exported models, from texts to answers, without torch: start with :func:`load`."""

from harness.runtime.forms import AveragedModel, Exported, Int8Model, OnnxModel, load

__all__ = ["AveragedModel", "Exported", "Int8Model", "OnnxModel", "load"]
