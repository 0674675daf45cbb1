"""The base class of flow families."""

from typing import Any

from bgbias.components import Component


class FlowFamily(Component):
    """A kind of layer of a conditional flow."""

    @classmethod
    def name(cls) -> str:
        """Return the name users type: the class's without its ending, such as `affine_coupling`."""
        return super().name().removesuffix("_family")

    @classmethod
    def layer(cls, width: int, context: int, hidden: int, number: int) -> list[Any]:
        """Make the parts of a layer: modules like normflows' `Flow` that take a context.

        Args:
            width: D of the vectors.
            context: C of the context.
            hidden: units of its network.
            number: of the layer, from 0; neighbours divide the vector differently.
        """
        raise NotImplementedError
