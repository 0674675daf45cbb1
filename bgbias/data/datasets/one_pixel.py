"""One-pixel bias on digits: the column of a bright pixel in the first row predicts the class.

Foreground: all but the first row. Backgrounds: ten dark pictures with one lit pixel.
Source of the bias: "Mitigating image background bias in DNN" (2022), with its intensity of 12 as default.
"""

from pathlib import Path

from bgbias.components import Positive, Seed, component
from bgbias.data.dataset import Dataset, DatasetSpec
from bgbias.data.digits.biases import Bias, BiasStrength, biased_dataset, one_pixel_backgrounds, one_pixel_mask
from bgbias.data.digits.sources import SIDE, DigitSplits, embedded, mnist


@component
class OnePixelMnist(DatasetSpec):
    """MNIST with one lit pixel per class.

    bias_strength: share of training images that carry the bias, in [0, 1]; or ten shares with commas between, one
        for each class, such as 0.5,0.55,0.6,0.65,0.7,0.75,0.8,0.85,0.9,1.0
    intensity: of the lit pixel, > 0, where 1 is the ink's full brightness
    last_class: whether `shuffled` draws the last class too; the 2022 study's `randint(0, 9)` never does
    split_seed: of the validation cut and of all assignments
    """

    bias_strength: BiasStrength = 1.0
    intensity: Positive = 12.0
    last_class: bool = True
    split_seed: Seed = 0

    def load(self, folder: Path | None) -> Dataset:
        return self.biased(mnist(folder, self.split_seed))

    def biased(self, digits: DigitSplits) -> Dataset:
        """The digits with their lit pixel."""
        backgrounds = one_pixel_backgrounds(SIDE, SIDE, self.intensity)
        bias = Bias(self.bias_strength, self.last_class, self.split_seed)
        return biased_dataset(self.name(), digits, one_pixel_mask, backgrounds, bias)


@component
class OnePixelDigits(OnePixelMnist):
    """The same bias on scikit-learn's embedded digits, without a download. Options as `OnePixelMnist`."""

    embedded = True

    def load(self, folder: Path | None) -> Dataset:
        self.check_folder(folder)
        return self.biased(embedded(self.split_seed))
