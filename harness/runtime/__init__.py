"""Run exported models, from texts to answers, without torch: start with :func:`load`."""

from harness.runtime.forms import Exported, Int8Model, OnnxModel, load
from harness.runtime.tables import AveragedModel, ConvolvedModel

__all__ = ["AveragedModel", "ConvolvedModel", "Exported", "Int8Model", "OnnxModel", "load"]
