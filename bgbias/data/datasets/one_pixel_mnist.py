"""One-pixel bias on MNIST: a bright pixel in the first row tells the class by its column.

Foreground: all but the first row. Backgrounds: ten dark pictures with one lit pixel.
Source of the bias: "Mitigating image background bias in DNN" (2022), with its intensity of 12 as default.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from bgbias.components import CHECKED
from bgbias.data.biases import biased_dataset, one_pixel_backgrounds, one_pixel_mask
from bgbias.data.dataset import Dataset, DatasetSpec
from bgbias.data.digits import SIDE, mnist


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class OnePixelMnist(DatasetSpec):
    """
    strength: share of training images that carry the bias, in [0, 1]
    intensity: of the lit pixel, > 0, where 1 is the ink's full brightness
    split_seed: of the validation cut and of all assignments
    """

    strength: Annotated[float, Field(ge=0, le=1)] = 1.0
    intensity: Annotated[float, Field(gt=0)] = 12.0
    split_seed: Annotated[int, Field(ge=0)] = 0

    def load(self, folder: Path | None) -> Dataset:
        digits = mnist(folder, self.split_seed)
        backgrounds = one_pixel_backgrounds(SIDE, SIDE, self.intensity)
        return biased_dataset(self.name(), digits, one_pixel_mask, backgrounds, self.strength, self.split_seed)
