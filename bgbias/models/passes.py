"""Count of the examples that passed through a network: a cost that does not depend on the machine."""

from torch import Tensor


class Passes:
    """Examples that went through a body since it was made, forward and backward.

    The gradient of a loss counts once for each example. A loss that holds an input gradient counts three times: for
    that gradient, for differentiating it, and for the rest of the loss.
    """

    def __init__(self) -> None:
        self.forward = self.backward = 0

    def through(self, output: Tensor) -> None:
        """Count a forward pass of the examples whose outputs are [B, ...], and its backward passes when they come."""
        examples = len(output)
        self.forward += examples
        if output.requires_grad:
            output.register_hook(lambda gradient: self._back(gradient, examples))

    def _back(self, gradient: Tensor, examples: int) -> None:
        self.backward += examples
        if gradient.requires_grad:
            gradient.register_hook(lambda second: self._back(second, examples))
