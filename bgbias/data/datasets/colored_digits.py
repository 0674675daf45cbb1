"""Background colour bias on scikit-learn's embedded digits: the paper's colour tells the class. No download.

Foreground: the ink (pixels above 0). Backgrounds: ten colours.
Source of the bias: "Mitigating image background bias in DNN" (2022), with its palette as default.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from bgbias.components import CHECKED
from bgbias.data.biases import biased_dataset, colored_backgrounds, ink_mask
from bgbias.data.dataset import Dataset, DatasetSpec
from bgbias.data.digits import embedded


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class ColoredDigits(DatasetSpec):
    """
    strength: share of training images that carry the bias, in [0, 1]
    palette: the ten colours, `reproduced` or `separated` (`bgbias.data.biases.PALETTES`)
    split_seed: of the validation cut and of all assignments
    """

    strength: Annotated[float, Field(ge=0, le=1)] = 1.0
    palette: Literal["reproduced", "separated"] = "reproduced"
    split_seed: Annotated[int, Field(ge=0)] = 0

    def load(self, folder: Path | None) -> Dataset:  # noqa: ARG002 - embedded: nothing to read from
        digits = embedded(self.split_seed)
        backgrounds = colored_backgrounds(self.palette)
        return biased_dataset(self.name(), digits, ink_mask, backgrounds, self.strength, self.split_seed)
