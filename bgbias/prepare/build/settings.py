"""The settings of a build."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import PIL
from PIL import features
from pydantic import Field

from bgbias.components import Count, Share, component
from bgbias.data.bias_strength import BiasStrength
from bgbias.errors import SettingError
from bgbias.prepare.build.finding import BY_BOX, ONNX
from bgbias.prepare.build.sources import Source

VERSION = 3
"""Of the files a build writes: what another version began is not continued."""

Head = dict[str, Any]
"""Settings, sources and versions. Equal heads give equal files."""


@component
class BuildSettings:
    """Settings of a build.

    images: folder that holds a folder of pictures for each class
    masks, boxes: one of the two, as `sources` describes; or neither, where `masks_from` is a model
    void: the value of masks that is neither object nor background, such as 255 in VOC's; counts as background
    size: height and width of what is built, in pixels
    seed: of the splits and of the backgrounds
    ratios: shares of train, val and test in the kept pictures of each class; a split of share 0 is left out
    imagenet9: the class folders are ImageNet synsets and are built into ImageNet-9's classes
    synsets: file of ImageNet's 1000 synsets, for where not all of them have a folder
    masks_from: where masks come from, as `finding` describes; None takes given masks as they are, and GrabCut's in
        boxes. With given masks, test keeps these, and pictures are kept or rejected by them
    masks_weights: file of the weights of a model of torchvision
    masks_grow: pixels that masks are widened by in every direction; below 0 they are narrowed. With given masks, those
        of train and val alone
    masks_share: the share of the training pictures of each class that have a mask; the others are `unmasked`
    """

    images: Path
    masks: Path | None = None
    boxes: Path | None = None
    void: int | None = Field(default=None, ge=1, le=65_535)
    size: int = Field(default=224, ge=8, le=4096)
    seed: int = 0
    ratios: tuple[float, float, float] = (0.7, 0.1, 0.2)
    imagenet9: bool = False
    synsets: Path | None = None
    masks_from: str | None = None
    masks_weights: Path | None = None
    masks_grow: int = Field(default=0, ge=-4096, le=4096)
    masks_share: Share = 1.0

    def __post_init__(self) -> None:
        by_model = self.masks_from is not None and self.masks_from not in BY_BOX
        if self.masks is not None and self.boxes is not None:
            raise SettingError("objects are given by masks or by boxes, but both were given: give one of the two")
        if self.masks is None and self.boxes is None and not by_model:
            raise SettingError(
                "objects are given by masks or by boxes, but none were given: give one of the two, or a model that "
                "finds them (--masks-from)"
            )
        if self.boxes is not None and by_model:
            raise SettingError(
                f"{self.masks_from} finds objects without boxes, but boxes were given: leave one of the two out"
            )
        if self.masks_weights is not None and (not by_model or str(self.masks_from).lower().endswith(ONNX)):
            raise SettingError(
                f"--masks-weights are of a segmentation model of torchvision, but --masks-from is {self.masks_from}: "
                "leave them out"
            )
        if self.void is not None and self.masks is None:
            raise SettingError(f"a void value is one of masks, but void={self.void} was given with boxes: leave it out")
        if min(self.ratios) < 0 or abs(sum(self.ratios) - 1) > 1e-6:
            ratios = ",".join(f"{share:g}" for share in self.ratios)
            raise SettingError(f"the ratios of train, val and test must be >= 0 and have the sum 1, but got {ratios}")
        if self.synsets is not None and not self.imagenet9:
            raise SettingError("synsets are for ImageNet-9, but imagenet9 was not asked for: give both or neither")

    @property
    def degrades(self) -> bool:
        """True if given masks are replaced in train and val."""
        return self.masks is not None and (self.masks_from is not None or self.masks_grow != 0)

    def check_apart(self, out: Path) -> None:
        """Refuse an output folder that lies in what is read.

        Raises:
            SettingError: it does.
        """
        for given in self._read():
            if given is not None and out.resolve().is_relative_to(given.resolve()):
                raise SettingError(f"--out must not lie in what is read, but {out} lies in {given}: give another --out")

    def _read(self) -> tuple[Path | None, ...]:
        """Folders and files that a build reads."""
        return self.images, self.masks, self.boxes

    def head(self, sources: Iterable[Source]) -> Head:
        """Identify this build of these sources."""
        paths = {name: getattr(self, name) for name in ("images", "masks", "boxes", "synsets")}
        digest, number = hashlib.sha256(), 0
        for number, source in enumerate(sources, start=1):  # noqa: B007
            digest.update(f"{source.key} {source.boxes}\n".encode())
        masks = {
            "masks_from": self.masks_from,
            "masks_weights": None if self.masks_weights is None else str(self.masks_weights),
            "masks_grow": self.masks_grow or None,
            "masks_share": None if self.masks_share == 1 else self.masks_share,
        }
        return {
            "settings": {
                **{name: value for name, value in masks.items() if value is not None},
                **{name: None if path is None else str(path) for name, path in paths.items()},
                "imagenet9": self.imagenet9,
                "void": self.void,
                "size": self.size,
                "seed": self.seed,
                "ratios": list(self.ratios),
            },
            "sources": {"number": number, "sha256": digest.hexdigest()},
            "versions": {
                "build": VERSION,
                "pillow": PIL.__version__,
                "littlecms": features.version("littlecms2"),
                "libjpeg": features.version("libjpeg_turbo") or features.version("jpg"),
                "opencv": cv2.__version__,
                "numpy": np.__version__,
            },
        }


@component
class SceneSettings(BuildSettings):
    """A Waterbirds of any masked photographs and scenes. What `BuildSettings` says, but for these.

    scenes: folder that holds a folder of pictures for each place
    size: the shorter side of what is built, in pixels
    confounding: the share of a class's training objects that stand in the class's own place; one number or one for
        each class
    counts: objects of each class in train, val and test; None divides all of them by `ratios`
    home: the place of each class, such as `cat=forest,dog=sea`; empty pairs them in the order of their names
    """

    scenes: Path
    confounding: BiasStrength = 0.95
    counts: tuple[Count, Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] | None = None
    home: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.imagenet9:
            raise SettingError("imagenet9 builds ImageNet-9's classes, and scenes a Waterbirds: give one of the two")

    @property
    def shares(self) -> tuple[float, float, float]:
        """The shares of train, val and test among a place's scenes."""
        if self.counts is None:
            return self.ratios
        train, val, test = (count / sum(self.counts) for count in self.counts)
        return train, val, test

    def _read(self) -> tuple[Path | None, ...]:
        return *super()._read(), self.scenes

    def head(self, sources: Iterable[Source]) -> Head:
        """Add the scenes' settings to the manifest's head."""
        found = super().head(sources)
        found["settings"] |= {
            "scenes": str(self.scenes),
            "confounding": self.confounding,
            "counts": None if self.counts is None else list(self.counts),
            "home": self.home,
        }
        return found
