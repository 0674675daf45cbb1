"""Features of a frozen body in the place of pictures, kept on disk where the dataset has a folder."""

from dataclasses import replace
from functools import lru_cache

import torch

from bgbias.data.dataset import Dataset
from bgbias.data.encoded import Encoded, encoded_dataset
from bgbias.data.features import Encoder
from bgbias.data.views import frozen
from bgbias.models.model import Classifier
from bgbias.models.weights import tensors_checksum
from bgbias.randomness import stream


def with_features(classifier: Classifier, dataset: Dataset) -> Dataset:
    """A dataset whose pictures, without augmentation, are replaced by the features of a classifier's body.

    One that consists of features already stays as it is.

    Raises:
        DataError: some features are not finite.
    """
    if isinstance(dataset.train, Encoded):
        return dataset
    return _with_features(classifier, dataset, versions(classifier))


def frozen_view(classifier: Classifier, dataset: Dataset, views: int, swaps: int) -> Dataset:
    """Make a dataset whose training examples and variants are features of a frozen body.

    Args:
        views, swaps: as in `bgbias.data.views.FeatureViews`.

    Raises:
        DataError: some features are not finite.
    """
    return _frozen_view(classifier, dataset, views, swaps, versions(classifier))


def encoder_of(classifier: Classifier, dataset: Dataset) -> Encoder:
    """The body of a classifier, which is put in evaluation mode, and where its features of a dataset are kept."""
    classifier.eval()
    device = dataset.train.assignment.device
    identity = (
        tensors_checksum(classifier.body.state_dict()),
        str(classifier.body),
        device.type,
        torch.is_autocast_enabled(device.type),
        torch.__version__,
    )
    return Encoder(lambda image: classifier.features(image).float(), repr(identity), dataset.home)


def versions(classifier: Classifier) -> tuple[int, ...]:
    """Version counters of a body's weights, which change whenever a weight is changed in place."""
    return tuple(tensor._version for tensor in classifier.body.state_dict().values())


@lru_cache(maxsize=1)
@torch.no_grad()
def _with_features(classifier: Classifier, dataset: Dataset, known: tuple[int, ...]) -> Dataset:  # noqa: ARG001
    """The last result of this process is kept, as long as the body's weights do not change (`known`)."""
    plain = replace(dataset, augmentation=None)
    return encoded_dataset(plain, 0, encoder_of(classifier, dataset), stream(0, "unaugmented"))


@lru_cache(maxsize=1)
@torch.no_grad()
def _frozen_view(
    classifier: Classifier,
    dataset: Dataset,
    views: int,
    swaps: int,
    known: tuple[int, ...],  # noqa: ARG001
) -> Dataset:
    """The last result of this process is kept, as long as the body's weights do not change (`known`)."""
    return frozen(dataset, encoder_of(classifier, dataset), views, swaps)
