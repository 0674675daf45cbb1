"""ImageNet-9, and any photographs with masks in its layout, such as `study data build` writes.

Foregrounds: the objects of the original pictures, cut out by their masks. Backgrounds: only_bg_t, pictures whose
object's box was filled by tiling the background. Test: the released pictures of all eight variants, which no search
reads. Validation is cut from train by source picture and composed here.
Source: K. Xiao et al., "Noise or Signal: The Role of Image Backgrounds in Object Recognition", 2020
(arXiv 2006.09994).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from bgbias.components import Seed, Share, component
from bgbias.data import assignment
from bgbias.data.bias_strength import BiasStrength, of_classes
from bgbias.data.dataset import Dataset, DatasetSpec, Variant
from bgbias.data.photographs import layout
from bgbias.data.photographs.augmentation import Augmentation
from bgbias.data.photographs.bank import bank_home
from bgbias.data.photographs.mixing import composed, original, released
from bgbias.data.photographs.reader import PhotoSplit, Reader
from bgbias.data.split import stratified
from bgbias.errors import DataError
from bgbias.randomness import stream

MAX_RATIO = 4 / 3
"""Of RandomResizedCrop: its default in torchvision."""
FLIP = 0.5
MANIFEST = "manifest.json"
VALIDATION_SHARE = 0.1
NOTHING = torch.zeros(0, dtype=torch.int64)


@component
class Imagenet9(DatasetSpec):
    """ImageNet-9, or any photographs with masks in its layout.

    size: pixels, the side of all pictures; others are scaled and cut when they are decoded, once
    validation_share: in [0, 1), of the training pictures, by class; 0 reads the folder's own `val`, which `study data
        build` makes but the original archives hold uncleaned; None does what fits the folder
    bias_strength: the chance in [0, 1] that a training object stands on a background of its own class, else of a
        uniformly random other class; one number, or one for each class with commas between; None leaves every picture
        as it is
    extra: a folder beside `original`, such as in9l, whose pictures are trained on too, with no background replaced
    faulty: `stop` at missing or unreadable pictures, or `skip` them
    min_scale: in (0, 1], the smallest share of a picture that a training crop keeps
    jitter: in [0, 1], how far brightness, contrast and saturation of training pictures move
    split_seed: of the validation cut and of its assignments
    """

    objectives: ClassVar[tuple[str, ...]] = (layout.MIXED_RAND,)
    model: ClassVar[str] = "torchvision_classifier"
    gaps: ClassVar[Mapping[str, tuple[str, str]]] = {"bg_gap": (layout.MIXED_SAME, layout.MIXED_RAND)}
    objectless: ClassVar[tuple[str, ...]] = (layout.NO_FG, layout.ONLY_BG_B, layout.ONLY_BG_T)

    size: Annotated[int, Field(ge=8)] = 224
    validation_share: Annotated[float, Field(ge=0, lt=1)] | None = None
    bias_strength: BiasStrength | None = None
    extra: str | None = None
    faulty: Literal["stop", "skip"] = "stop"
    min_scale: Annotated[float, Field(gt=0, le=1)] = 0.08
    jitter: Share = 0.4
    split_seed: Seed = 0

    def load(self, folder: Path | None) -> Dataset:
        """Read the folder's banks, building them first where they are missing.

        A folder that holds the released test set alone gives a dataset to evaluate on, without any training picture.
        """
        reader = Reader(dataset_root(folder), self.size)
        photos = reader.photographs(layout.TEST)
        test = released(reader, photos)
        train = Variant(photos.fronts.at(NOTHING), photos.tiles, NOTHING)
        validation: dict[str, Variant] = {}
        if layout.split_folder(reader.root, layout.ORIGINAL, layout.TRAIN).is_dir():
            train, validation = self._train_and_validation(reader)
        reader.check(skip=self.faulty == "skip")
        return Dataset(
            name=self.name(),
            classes=reader.classes,
            places=reader.classes,
            gaps=self.gaps,
            train=train,
            validation=validation,
            test=test,
            augmentation=Augmentation(self.min_scale, MAX_RATIO, FLIP, self.jitter),
            source_names=reader.source_names,
            test_background_names=photos.names,
            home=bank_home(reader.root),
        )

    def _train_and_validation(self, reader: Reader) -> tuple[Variant, dict[str, Variant]]:
        photos = reader.photographs(layout.TRAIN, self.extra)
        share = self.validation_share
        if share is None:
            share = 0.0 if (reader.root / MANIFEST).is_file() else VALIDATION_SHARE
        photos, held_out = (
            hold_out(photos, share, self.split_seed) if share else (photos, reader.photographs(layout.VAL))
        )
        return self._biased(photos), composed(held_out, len(reader.classes), self.split_seed)

    def _biased(self, photos: PhotoSplit) -> Variant:
        """The training photographs, their objects on backgrounds of the bias that was asked for.

        Pictures without a mask of their own stay as they are. Exactly `round((1 - bias_strength) * n)` of n objects
        stand on a background of another class.
        """
        plain = original(photos)
        if self.bias_strength is None:
            return plain
        strengths = of_classes(self.bias_strength, photos.places, "dataset/bias_strength")
        shared = strengths[0] if len(set(strengths)) == 1 else strengths
        masked = photos.label[: photos.masked]
        drawn = assignment.biased(masked, photos.tiles.place, shared, stream(self.split_seed, "train bias"))
        return plain.assigned(torch.cat([drawn, plain.assignment[photos.masked :]]))


def dataset_root(folder: Path | None) -> Path:
    """The folder that holds `bg_challenge`; that folder itself may be given too.

    Raises:
        DataError: there is none.
    """
    if folder is None:
        raise DataError(
            "imagenet9 needs --data DIR: `study data build` makes such a folder of any photographs with masks or "
            "boxes, `study data fetch imagenet9` downloads the released test set"
        )
    root = folder.parent if folder.name == layout.RELEASE else folder
    if not layout.split_folder(root, layout.ORIGINAL, layout.TEST).is_dir():
        raise DataError(
            f"{root} holds no {layout.RELEASE}/{layout.ORIGINAL}/{layout.VAL}: give the folder that `study data build` "
            "or `study data fetch imagenet9` wrote"
        )
    return root


def hold_out(photos: PhotoSplit, share: float, seed: int) -> tuple[PhotoSplit, PhotoSplit]:
    """Hold out a share of the photographs, by class.

    Raises:
        DataError: a class would be empty on one side.
    """
    try:
        kept, held_out = stratified(photos.label[: photos.masked].numpy(), share, seed)
    except DataError as error:
        raise DataError(
            f"a share of {share:g} of {photos.masked} pictures cannot be held out ({error}): "
            "set another dataset/validation_share"
        ) from None
    unmasked = np.arange(photos.masked, len(photos))
    return photos.at(torch.from_numpy(np.sort([*kept, *unmasked]))), photos.at(torch.from_numpy(held_out))
