"""One file per family of datasets; each class in it is one `DatasetSpec`."""

from bgbias.components import Registry
from bgbias.data.dataset import DatasetSpec

datasets = Registry("dataset", __name__, DatasetSpec)
