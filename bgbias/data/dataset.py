"""A dataset: one biased training set and named variants of its validation and test sets.

A variant is an assignment of backgrounds to foregrounds, so all variants of a split share their pictures.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Generator, Tensor

from bgbias.components import Component
from bgbias.data.compose import pasted, unit
from bgbias.data.masks import dilate
from bgbias.errors import SettingError
from bgbias.randomness import stream
from bgbias.types import (
    NO_BACKGROUND,
    OWN_BACKGROUND,
    Backgrounds,
    Batch,
    Examples,
    Foregrounds,
    Rows,
    S,
    Task,
    ToDevice,
    at,
    group_of,
)

ORIGINAL, SHUFFLED, REMOVED = "original", "shuffled", "removed"
CPU_BATCH, CPU_PIXELS = 80, 1 << 22
"""Largest number of pictures that a CPU predicts at a time, within whose cache they stay, and of their pixels."""
ACCELERATOR_BATCH, ACCELERATOR_PIXELS = 4000, 1 << 24
"""The same on an accelerator, which small batches leave partly idle."""
BANK_SHARE = 0.6
"""Share of a device's free memory for decoded pictures; the model and its batches take the rest."""
NOWHERE = "none"
"""The name of the place of an object without a background."""
RIM = "_rim"
"""Suffix of the variants whose masks were dilated before composing, as the method's training set was."""


ReadForegrounds = Callable[[], tuple[Tensor, Tensor]]
"""Gives images [B, C, H, W] and masks [B, 1, H, W] of foregrounds."""


@dataclass(frozen=True)
class Variant:
    """Foregrounds, backgrounds, and the assignment of a background to each foreground.

    assignment: [N] int64 index into the backgrounds for each of the N foregrounds, or `NO_BACKGROUND`, or
                `OWN_BACKGROUND`
    """

    foregrounds: Foregrounds
    backgrounds: Backgrounds
    assignment: Tensor

    def __len__(self) -> int:
        return len(self.foregrounds)

    def batch(self, index: Tensor, background: Tensor | None = None) -> Batch:
        """Compose the examples at `index` ([B] int64), on the given backgrounds ([B] int64) or on their own."""
        background = self.assignment[index] if background is None else background
        image, mask = self.foregrounds.read(index)
        image = self._pasted(image, mask, background)
        return self.batch_of(image, mask, index, background, partial(self.batch, index))

    def images(self, index: Tensor, read: ReadForegrounds) -> Tensor:
        """Compute only the images of `batch(index)`: [B, C, H, W].

        Args:
            read: gives the foregrounds' images and masks at `index` if they are needed; variants may share it.
        """
        image, mask = read()
        return self._pasted(image, mask, self.assignment[index])

    def _pasted(self, image: Tensor, mask: Tensor, background: Tensor) -> Tensor:
        shown = mask | (background == OWN_BACKGROUND)[:, None, None, None]
        return pasted(shown, image, self.backgrounds.image[background.clamp(min=NO_BACKGROUND)])

    def batch_of(
        self, image: Tensor, mask: Tensor, index: Tensor, background: Tensor, compose: Callable[[Tensor], Batch]
    ) -> Batch:
        """Make a batch of the examples at `index` from their images.

        Args:
            image: [B, C, H, W].
            mask: [B, 1, H, W] bool.
            index: [B] int64.
            background: [B] int64, or [B, n] for n copies of each example.
            compose: from backgrounds [B] int64 to the same objects and crops on those.
        """
        label, places = self.foregrounds.label[index], self.places(index, background)
        return Batch(image, mask, label, index, background, places, self.backgrounds, compose)

    def places(self, index: Tensor, background: Tensor) -> Tensor:
        """The class of each example's background: int64 of the shape of `background`, [B] or [B, n]."""
        own = self.foregrounds.place[index].view(-1, *[1] * (background.ndim - 1)).expand_as(background)
        return self.backgrounds.places_of(background, own)

    def examples(self, index: Tensor) -> Examples:
        """The examples at `index` ([B] int64), not composed yet and not augmented."""
        return self.examples_by(index, partial(self.batch, index))

    def examples_by(self, index: Tensor, compose: Callable[[Tensor], Batch]) -> Examples:
        """The examples at `index` ([B] int64), to be composed in a given way."""
        label, background = self.foregrounds.label[index], self.assignment[index]
        return Examples(index, label, background, self.backgrounds, compose)

    @property
    def group(self) -> Tensor:
        """The (class, place) cell of each example: [N] int64, label x (P + 1) + place."""
        everything = torch.arange(len(self), device=self.assignment.device)
        place = self.places(everything, self.assignment)
        return group_of(self.foregrounds.label, place, self.backgrounds.places)

    def assigned(self, assignment: Tensor) -> "Variant":
        """The same pictures under another assignment."""
        return dataclasses.replace(self, assignment=assignment)

    def composed(self) -> "Variant":
        """The same examples, composed here."""
        return self

    def pictured(self) -> "Variant":
        """The same examples, shown as pictures."""
        return self

    def dilated(self, radius: int) -> "Variant":
        """The same assignment with every mask widened by `radius` pixels before composing."""
        mask = dilate(self.foregrounds.mask, radius)
        return dataclasses.replace(self, foregrounds=dataclasses.replace(self.foregrounds, mask=mask))

    def at(self, index: Tensor) -> Self:
        """The examples at `index` ([n] int64)."""
        return dataclasses.replace(self, foregrounds=self.foregrounds.at(index), assignment=self.assignment[index])

    def head(self, n: int) -> Self:
        """The first n examples."""
        return self.at(torch.arange(min(n, len(self))))

    def spread(self, n: int) -> Self:
        """At most n examples, evenly spread."""
        return self.at(spread(len(self), n).to(self.assignment.device))

    def tensors_to(self, to_device: ToDevice) -> Self:
        """The same variant with every tensor passed through `to_device`."""
        front, back = self.foregrounds, self.backgrounds
        return dataclasses.replace(
            self,
            foregrounds=Foregrounds(
                image=_moved(front.image, to_device),
                mask=_moved(front.mask, to_device),
                label=to_device(front.label),
                source=to_device(front.source),
                place=to_device(front.place),
            ),
            backgrounds=Backgrounds(_moved(back.image, to_device), to_device(back.place), back.places),
            assignment=to_device(self.assignment),
        )


def of_same_foregrounds(variants: Mapping[str, Variant]) -> list[dict[str, Variant]]:
    """Variants in groups that show the same foregrounds, whose pictures and masks need to be read once."""
    groups: dict[tuple[int, ...], dict[str, Variant]] = {}
    for name, variant in variants.items():
        groups.setdefault(_tensors(variant.foregrounds), {})[name] = variant
    return list(groups.values())


def _tensors(front: Foregrounds) -> tuple[int, ...]:
    """Identify a set of foregrounds by the identities of its tensors."""
    rows = [[part] if isinstance(part, Tensor) else vars(part).values() for part in (front.image, front.mask)]
    return tuple(id(value) for part in rows for value in part if isinstance(value, Tensor))


def _moved(rows: Tensor | S, to_device: ToDevice) -> Tensor | S:
    return to_device(rows) if isinstance(rows, Tensor) else rows.moved(to_device)


@dataclass(frozen=True)
class Released(Variant):
    """A variant whose pictures were composed by others; the parts they were made of are known too.

    pictures: [N] rows, shown as they are
    """

    pictures: Rows

    def batch(self, index: Tensor, background: Tensor | None = None) -> Batch:
        """The examples at `index` ([B] int64) as they were released; on other backgrounds, composed anew."""
        if background is not None:
            return super().batch(index, background)
        image, mask = unit(self.pictures[index]), self.foregrounds.mask[index]
        return self.batch_of(image, mask, index, self.assignment[index], partial(self.batch, index))

    def images(self, index: Tensor, read: ReadForegrounds) -> Tensor:
        return unit(self.pictures[index])

    def composed(self) -> Variant:
        return Variant(self.foregrounds, self.backgrounds, self.assignment)

    def at(self, index: Tensor) -> Self:
        return dataclasses.replace(super().at(index), pictures=at(self.pictures, index))

    def tensors_to(self, to_device: ToDevice) -> Self:
        return dataclasses.replace(super().tensors_to(to_device), pictures=_moved(self.pictures, to_device))


class Augmenter(Protocol):
    """Changes training pictures each time they are seen (`bgbias.data.photographs.augmentation.Augmentation`)."""

    def draw(self, n: int, side: int, rng: Generator) -> Any:
        """Draw the changes of n pictures of `side` x `side` pixels."""

    def finish(
        self, front: Foregrounds, back: Backgrounds, index: Tensor, background: Tensor, drawn: Any
    ) -> tuple[Tensor, Tensor]:
        """Compose and augment the examples at `index` ([B] int64) on backgrounds ([B] int64), by what was drawn.

        Returns:
            Images [B, C, H, W] float and masks [B, 1, H, W] bool.
        """
        ...


@dataclass(frozen=True, eq=False)
class Dataset:
    """The variants that a method trains on and is evaluated on. Equal to itself only.

    classes: the K class names
    places: the names of the P background classes
    train: the biased training set
    validation, test: the same variant names in both
    gaps: by name, two variants whose difference in accuracy the field reports, such as BG-Gap
    augmentation: how training pictures are cropped and coloured each time they are seen; None leaves them as they are
    source_names: what the files of the sources are called, by `Foregrounds.source`; empty where sources are numbers
    test_background_names: what the test set's backgrounds are called; empty where there is one for each class
    body_train: what the classifier's body was trained on, where a method trains its head on other pictures (`train`);
        None where both are the same
    training_groups: [K, P + 1] int64, how many training examples each (class, place) cell has, no background last;
        counted in `train` where it is left out, and kept when a method changes `train`
    files: the SHA-256 of the files that say what the pictures are, by name
    has_masks: whether it is known which pixels are object
    home: the folder where what was computed of the pictures may be kept; None where there is none
    """

    name: str
    classes: tuple[str, ...]
    places: tuple[str, ...]
    train: Variant
    validation: Mapping[str, Variant]
    test: Mapping[str, Variant]
    gaps: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    augmentation: Augmenter | None = None
    source_names: tuple[str, ...] = ()
    test_background_names: tuple[str, ...] = ()
    body_train: Variant | None = None
    training_groups: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.int64))
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    has_masks: bool = True
    home: Path | None = None

    def __post_init__(self) -> None:
        if not self.training_groups.numel():
            cells = len(self.classes) * (len(self.places) + 1)
            counted = torch.bincount(self.train.group, minlength=cells).view(len(self.classes), -1)
            object.__setattr__(self, "training_groups", counted)

    def training_examples(self, index: Tensor, rng: Generator) -> Examples:
        """The training examples at `index` ([B] int64), to be composed and augmented.

        Args:
            rng: on the dataset's device; crops and colours are drawn at the first composition and kept.
        """
        train, augmentation = self.train, self.augmentation
        if augmentation is None:
            return train.examples(index)
        recipe = cache(lambda: augmentation.draw(len(index), train.foregrounds.image.shape[-1], rng))

        def compose(background: Tensor) -> Batch:
            image, mask = augmentation.finish(train.foregrounds, train.backgrounds, index, background, recipe())
            return train.batch_of(image, mask, index, background, compose)

        return train.examples_by(index, compose)

    @property
    def task(self) -> Task:
        """Shapes, names and numbers that are known before any example is read."""
        return Task(self.image_shape, self.classes, (*self.places, NOWHERE), len(self.train))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of a composed image."""
        front, back = self.train.foregrounds.image.shape, self.train.backgrounds.image.shape
        return max(front[1], back[1]), front[2], front[3]

    def to(self, device: torch.device) -> "Dataset":
        """The dataset on `device`; tensors shared between variants stay shared.

        Banks that do not fit beside what training needs stay where they are, and their rows travel as they are used.
        """
        to_device = DeviceTransfer(device)

        def move_all(variants: Mapping[str, Variant]) -> dict[str, Variant]:
            return {name: variant.tensors_to(to_device) for name, variant in variants.items()}

        return dataclasses.replace(
            self,
            train=self.train.tensors_to(to_device),
            validation=move_all(self.validation),
            test=move_all(self.test),
            body_train=None if self.body_train is None else self.body_train.tensors_to(to_device),
        )

    def head(self, n: int) -> "Dataset":
        """The first n examples of every variant."""
        return dataclasses.replace(
            self,
            train=self.train.head(n),
            validation={name: variant.head(n) for name, variant in self.validation.items()},
            test={name: variant.head(n) for name, variant in self.test.items()},
        )

    def dilated(self, radius: int) -> "Dataset":
        """Training masks widened by `radius` pixels, and the rim variants evaluated beside the plain ones.

        With radius 0 nothing changes. Variants that nothing is pasted in have no rim to show and get no partner.
        """
        if radius == 0:
            return self
        return dataclasses.replace(
            self,
            train=self.train.dilated(radius),
            validation={**self.validation, **_rims(self.validation, radius)},
            test={**self.test, **_rims(self.test, radius)},
        )


class DeviceTransfer:
    """Brings tensors to a device, each once; banks only as long as they take no more than their share of its memory."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._moved: dict[int, Tensor] = {}
        self._room = math.inf
        if device.type == "cuda":
            self._room = BANK_SHARE * torch.cuda.mem_get_info(device)[0]

    def __call__(self, tensor: Tensor) -> Tensor:
        """The tensor on the device."""
        if id(tensor) not in self._moved:
            self._moved[id(tensor)] = tensor.to(self._device)
        return self._moved[id(tensor)]

    def storage(self, tensor: Tensor) -> Tensor:
        """A bank's rows on the device, or where they are if the device has no room for them."""
        if id(tensor) not in self._moved and tensor.nbytes > self._room:
            return tensor
        if id(tensor) not in self._moved:
            self._room -= tensor.nbytes
        return self(tensor)


def _rims(variants: Mapping[str, Variant], radius: int) -> dict[str, Variant]:
    widened: dict[int, Foregrounds] = {}

    def share(variant: Variant) -> Variant:
        key = id(variant.foregrounds)
        if key not in widened:
            widened[key] = variant.dilated(radius).foregrounds
        return dataclasses.replace(variant, foregrounds=widened[key])

    return {
        f"{name}{RIM}": share(variant.composed())
        for name, variant in variants.items()
        if (variant.assignment >= 0).any()
    }


class DatasetSpec(Component):
    """Options of a dataset, and how to read it. One file in `bgbias/data/datasets` defines one subclass.

    objectives: what searches improve by default: validation metrics, or variants for their accuracy
    model: the name of the model that is trained by default
    gaps: by name, two variants whose accuracies are subtracted: the first minus the second
    objectless: variants that show no object, on which a good classifier does not answer well
    embedded: whether its pictures come with the installed packages, so that no folder applies
    """

    objectives: ClassVar[tuple[str, ...]] = (SHUFFLED,)
    model: ClassVar[str] = "compact_cnn"
    gaps: ClassVar[Mapping[str, tuple[str, str]]] = {}
    objectless: ClassVar[tuple[str, ...]] = ()
    embedded: ClassVar[bool] = False

    @classmethod
    def name(cls) -> str:
        """The name users type: the class's with dashes, such as `colored-mnist`."""
        return super().name().replace("_", "-")

    def load(self, folder: Path | None) -> Dataset:
        """Read the pictures and build every variant.

        Args:
            folder: where the source files lie; None means the embedded data or a download.

        Raises:
            DataError: a file is missing, damaged, or cannot be downloaded.
            SettingError: a folder is given for embedded pictures.
        """
        raise NotImplementedError

    def check_folder(self, folder: Path | None) -> None:
        """Check that a folder is given only where one applies.

        Raises:
            SettingError: a folder is given for embedded pictures.
        """
        if self.embedded and folder is not None:
            raise SettingError(
                f"--data does not apply to {self.name()}, whose pictures are embedded, but got '{folder}': "
                "leave --data out or choose another --dataset"
            )


def held_out(source: Tensor, share: float) -> Tensor:
    """Choose the examples to hold out, all or none of each source: [N] bool, True = held out.

    The choice depends on the arguments alone, as a dataset's own splits do.

    Args:
        source: [N] int64, the picture each example was cut from.
        share: in [0, 1], the share of the sources that is held out; their number is rounded.
    """
    sources, number = source.cpu().unique(return_inverse=True)
    rank = torch.randperm(len(sources), generator=stream(0, "held out"))
    return (rank[number] < round(share * len(sources))).to(source.device)


def spread(n: int, count: int) -> Tensor:
    """`count` indices below n, evenly spread, or all n: [min(n, count)] int64.

    Datasets may lie in the order of their classes, so that the first examples would be of one class only.
    """
    taken = min(n, count)
    return torch.arange(taken) * n // max(1, taken)


def batch_size(variant: Variant) -> int:
    """Number of pictures of a variant to predict at a time, on the device that holds them."""
    on_cpu = variant.foregrounds.label.device.type == "cpu"
    largest, pixels = (CPU_BATCH, CPU_PIXELS) if on_cpu else (ACCELERATOR_BATCH, ACCELERATOR_PIXELS)
    return max(1, min(largest, pixels // math.prod(variant.foregrounds.image.shape[2:])))


def batches(variant: Variant) -> Iterator[Tensor]:
    """The indices of a variant's examples in order, in as few batches as possible, whose sizes differ by 1 at most."""
    everything = torch.arange(len(variant), device=variant.foregrounds.label.device)
    yield from everything.tensor_split(max(1, math.ceil(len(variant) / batch_size(variant))))
