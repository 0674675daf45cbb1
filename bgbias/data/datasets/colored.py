"""Background colour bias on digits: the background's colour predicts the class.

Foreground: the ink (pixels above 0). Backgrounds: ten colours.
Source of the bias: "Mitigating image background bias in DNN" (2022), with its palette as default.
"""

from pathlib import Path
from typing import Literal

from bgbias.components import Seed, component
from bgbias.data.dataset import Dataset, DatasetSpec
from bgbias.data.digits.biases import Bias, BiasStrength, biased_dataset, colored_backgrounds, ink_mask
from bgbias.data.digits.sources import DigitSplits, embedded, mnist


@component
class ColoredMnist(DatasetSpec):
    """MNIST on a colour per class.

    bias_strength: share of training images that carry the bias, in [0, 1]; or ten shares with commas between, one
        for each class, such as 0.5,0.55,0.6,0.65,0.7,0.75,0.8,0.85,0.9,1.0
    palette: the ten colours, `reproduced` or `separated` (`bgbias.data.digits.biases.PALETTES`)
    last_class: whether `shuffled` draws the last class too; the 2022 study's `randint(0, 9)` never does
    split_seed: of the validation cut and of all assignments
    """

    bias_strength: BiasStrength = 1.0
    palette: Literal["reproduced", "separated"] = "reproduced"
    last_class: bool = True
    split_seed: Seed = 0

    def load(self, folder: Path | None) -> Dataset:
        return self.biased(mnist(folder, self.split_seed))

    def biased(self, digits: DigitSplits) -> Dataset:
        """The digits on their colours."""
        backgrounds = colored_backgrounds(self.palette)
        bias = Bias(self.bias_strength, self.last_class, self.split_seed)
        return biased_dataset(self.name(), digits, ink_mask, backgrounds, bias)


@component
class ColoredDigits(ColoredMnist):
    """The same bias on scikit-learn's embedded digits, without a download. Options as `ColoredMnist`."""

    embedded = True

    def load(self, folder: Path | None) -> Dataset:
        self.check_folder(folder)
        return self.biased(embedded(self.split_seed))
