"""One file per method; each defines one `Method`."""

from bgbias.components import Registry
from bgbias.methods.method import Method

methods = Registry("method", __name__, Method)
