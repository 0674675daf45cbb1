"""Learners, tasks, variants and batches made by hand."""

import torch
from torch import Tensor, nn

from bgbias.data.dataset import Variant
from bgbias.methods.method import Learner
from bgbias.models.model import Classifier
from bgbias.types import Backgrounds, Batch, Foregrounds, Task


def learner_of(network: nn.Module) -> Learner:
    """A learner with nothing of its own around a network, whose last layer is the head where it is a sequence."""
    body, head = (network[:-1], network[-1]) if isinstance(network, nn.Sequential) else (network, nn.Identity())
    return Learner(Classifier(body, head), nn.Module())


def task_of(image_shape: tuple[int, int, int] = (3, 28, 28), classes: int = 10, places: int | None = None) -> Task:
    """A task of so many classes and places; as many places as classes where none are given."""
    background_classes = map(str, range(classes if places is None else places))
    return Task(image_shape, tuple(map(str, range(classes))), (*background_classes, "none"), examples=100)


def foregrounds_of(image: Tensor, label: Tensor, mask: Tensor | None = None) -> Foregrounds:
    """Foregrounds with a source each, from pictures whose background is of their class; all object without a mask."""
    mask = torch.ones_like(image[:, :1], dtype=torch.bool) if mask is None else mask
    return Foregrounds(image, mask, label, torch.arange(len(label)), label)


def black_backgrounds(places: int) -> Backgrounds:
    """One black pixel for each of the places."""
    return Backgrounds(torch.zeros(places + 1, 1, 1, 1), torch.arange(places), places)


def random_variant(size: int, seed: int = 0) -> Variant:
    """Random grey pictures of 2 x 2 pixels, all object, of three classes, each assigned to its own."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(size, 1, 2, 2, generator=generator)
    label = torch.randint(3, (size,), generator=generator)
    return Variant(foregrounds_of(image, label), black_backgrounds(3), label)


def batch_of(image: Tensor, mask: Tensor, label: Tensor | None = None) -> Batch:
    """A batch of examples 0 to B - 1, each on the background of its number, which is a class of its own."""
    number = torch.arange(len(image))
    label = torch.zeros_like(number) if label is None else label
    return Batch(image, mask, label, number, number, number, black_backgrounds(len(image)), not_composed)


def not_composed(background: Tensor) -> Batch:
    """
    Raises:
        AssertionError: always; a batch made by hand has no other backgrounds.
    """
    raise AssertionError(f"composed on {background}")
