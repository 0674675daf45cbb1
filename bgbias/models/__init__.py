"""One file per model; each defines one `Model`."""

from bgbias.components import Registry
from bgbias.models.model import Model

models = Registry("model", __name__, Model)
