"""What a model file defines."""

from torch import nn

from bgbias.components import Component


class Model(Component):
    """Options of an architecture, and how to build it."""

    def build(self, image_shape: tuple[int, int, int], classes: int) -> nn.Module:
        """A freshly initialised classifier.

        Args:
            image_shape: (channels, height, width).
            classes: number of outputs, K.

        Returns:
            A module from images [B, C, H, W] to logits [B, K].
        """
        raise NotImplementedError

    def initialise(self, module: nn.Module) -> None:
        """Put weights that were trained elsewhere into a module that `build` made; most models have none.

        Raises:
            DataError: they cannot be had or do not fit.
        """
