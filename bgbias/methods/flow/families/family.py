"""What a flow family's file defines."""

from typing import Any

from bgbias.components import Component


class FlowFamily(Component):
    """One layer of a conditional flow, as often as wanted."""

    @classmethod
    def name(cls) -> str:
        """The name users type: the class's without its ending, such as `affine_coupling`."""
        return super().name().removesuffix("_family")

    @classmethod
    def layer(cls, width: int, context: int, hidden: int, number: int) -> list[Any]:
        """The parts of a layer, modules of normflows' `Flow` kind that take a context.

        Args:
            width: D of the vectors.
            context: C of the context.
            hidden: units of its network.
            number: of the layer, from 0; neighbours divide the vector differently.
        """
        raise NotImplementedError
