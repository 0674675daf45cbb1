"""The second half of a build: every kept object's variants and mask are written to its split."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bgbias.data.photographs import layout
from bgbias.errors import DataError
from bgbias.prepare.build import variants
from bgbias.prepare.build.cut import crop
from bgbias.prepare.build.files import jpeg, npy, write
from bgbias.prepare.build.sources import Source
from bgbias.prepare.build.variants import Box, Image

PLAIN = (layout.ORIGINAL, layout.ONLY_FG, layout.NO_FG, layout.ONLY_BG_B, layout.ONLY_BG_T)


@dataclass(frozen=True)
class KeptSource:
    """A source that is kept, and the box of its object in the crop."""

    source: Source
    box: Box


@dataclass(frozen=True)
class Work:
    """A kept source and the files to be made from it.

    mask:   where its mask was put aside; None of a training picture without one, which is written alone
    split:  train, val or test
    donors: whose background it is mixed with, by variant
    """

    kept: KeptSource
    mask: Path | None
    split: str
    donors: dict[str, KeptSource]


@dataclass(frozen=True)
class Writer:
    """Writes the pictures of a work, height and width `size`, below `root`."""

    root: Path
    size: int

    def paths(self, work: Work) -> dict[str, Path]:
        """Files of each variant and of the mask."""
        name = work.kept.source.name
        if work.mask is None:
            folder = layout.split_folder(self.root, layout.UNMASKED, work.split)
            return {layout.UNMASKED: folder / work.kept.source.class_name / f"{name}.JPEG"}
        names = dict.fromkeys(PLAIN, f"{name}.JPEG") | {layout.FG_MASK: f"{name}.npy"}
        for variant, donor in work.donors.items():
            names[variant] = f"{layout.mixed_name(name, donor.source.name)}.JPEG"
        class_name = work.kept.source.class_name
        return {
            part: layout.split_folder(self.root, part, work.split) / class_name / file for part, file in names.items()
        }

    def __call__(self, work: Work) -> None:
        """Write them, unless all are there.

        Raises:
            DataError: a picture can no longer be read, or the disk is full.
        """
        paths = self.paths(work)
        if all(path.exists() for path in paths.values()):
            return
        if work.mask is None:
            write(paths[layout.UNMASKED], jpeg(self._crop(work.kept)))
            return
        mask = np.load(work.mask)
        for variant, picture in self._pictures(work, mask).items():
            write(paths[variant], jpeg(picture))
        write(paths[layout.FG_MASK], npy(mask))

    def _pictures(self, work: Work, mask: variants.Mask) -> dict[str, Image]:
        image, box = self._crop(work.kept), work.kept.box
        pictures = {
            layout.ORIGINAL: image,
            layout.ONLY_FG: variants.only_fg(image, mask),
            layout.NO_FG: variants.no_fg(image, mask),
            layout.ONLY_BG_B: variants.only_bg_b(image, box),
            layout.ONLY_BG_T: variants.only_bg_t(image, box),
        }
        for variant, donor in work.donors.items():
            pictures[variant] = variants.mixed(image, mask, variants.only_bg_t(self._crop(donor), donor.box))
        return pictures

    def _crop(self, kept: KeptSource) -> Image:
        try:
            return crop(kept.source, self.size)
        except DataError as error:
            raise DataError(f"{kept.source.picture}: {error}, though it could be a moment ago: build again") from None
