"""Convolutions whose input gradient is differentiated at the speed of a backward pass.

PyTorch's own second derivative of a convolution writes the weight gradient as a convolution with a kernel as large as
the picture, and the first one computes weight gradients that a penalty on the input gradient does not read. Here both
are the calls of an ordinary backward pass: the numbers are the same up to rounding.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.overrides import TorchFunctionMode


class Geometry(NamedTuple):
    """Geometry of a convolution: stride, padding and dilation, two numbers each; and the number of channel groups."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    def convolve(self, image: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve [B, C, H, W] with [D, C / groups, h, w]."""
        at = (self.stride, self.padding, self.dilation)
        found: Tensor = torch.ops.aten.convolution(image, weight, bias, *at, False, (0, 0), self.groups)
        return found

    def gradients(
        self, outer: Tensor, image: Tensor, weight: Tensor, *, of_image: bool, of_weight: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        """Those of sum(outer * convolve(image, weight)) with respect to image and weight."""
        at = (self.stride, self.padding, self.dilation)
        wanted = (of_image, of_weight, False)
        found = torch.ops.aten.convolution_backward(outer, image, weight, None, *at, False, (0, 0), self.groups, wanted)
        return found[0], found[1]


class Convolution(Function):
    """A convolution. Arguments: image [B, C, H, W], weight, bias or None, geometry."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(image, weight)
        ctx.geometry = geometry
        return geometry.convolve(image, weight, bias)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        image, weight = ctx.saved_tensors
        nodes = [node for node, _ in ctx.next_functions]  # of the tensors among the arguments
        of_image, of_weight, *of_bias = map(is_wanted, ctx.needs_input_grad, nodes)
        found = ConvolutionGradient.apply(outer[0], image, weight, ctx.geometry, of_image, of_weight)
        return *found, outer[0].sum(dim=(0, 2, 3)) if any(of_bias) else None, None


def is_wanted(needed: bool, node: Any) -> bool:
    """True if the backward pass under way reads the gradient that goes to a node of the graph, which is no leaf."""
    return needed and bool(torch._C._will_engine_execute_node(node))


class ConvolutionGradient(Function):
    """The gradients of sum(outer * convolution) with respect to image and weight, linear in each of the three."""

    @staticmethod
    def forward(
        ctx: Any, outer: Tensor, image: Tensor, weight: Tensor, geometry: Geometry, of_image: bool, of_weight: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(outer, image, weight)
        ctx.geometry = geometry
        return geometry.gradients(outer, image, weight, of_image=of_image, of_weight=of_weight)

    @staticmethod
    def backward(ctx: Any, *along: Any) -> tuple[Any, ...]:
        """Those of sum(along[0] * image gradient) + sum(along[1] * weight gradient)."""
        outer, image, weight = ctx.saved_tensors
        geometry: Geometry = ctx.geometry
        of_outer, of_image, of_weight = ctx.needs_input_grad[:3]
        along_image, along_weight = along
        outer_parts, found_image, found_weight = [], None, None
        if along_image is not None:
            if of_outer:
                outer_parts.append(geometry.convolve(along_image, weight, None))
            _, found_weight = geometry.gradients(outer, along_image, weight, of_image=False, of_weight=of_weight)
        if along_weight is not None:
            if of_outer:
                outer_parts.append(geometry.convolve(image, along_weight, None))
            found_image, _ = geometry.gradients(outer, image, along_weight, of_image=of_image, of_weight=False)
        found_outer = sum(outer_parts) if outer_parts else None
        return found_outer, found_image, found_weight, None, None, None


class TwiceDifferentiable(TorchFunctionMode):
    """Within it, `torch.conv2d` is `Convolution` wherever gradients are recorded, for any network.

    Left as they are: mixed precision, paddings by name, pictures without a batch.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.conv2d and torch.is_grad_enabled():
            found = faster(*args, **(kwargs or {}))
            if found is not None:
                return found
        return func(*args, **(kwargs or {}))


def faster(
    input: Tensor,  # noqa: A002 - its name in `torch.conv2d`
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] | str = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> Tensor | None:
    """Compute `torch.conv2d` of these arguments; None for arguments that `torch.conv2d` must compute itself."""
    if isinstance(padding, str) or input.dim() != 4 or torch.is_autocast_enabled(input.device.type):
        return None
    geometry = Geometry(pair(stride), pair(padding), pair(dilation), groups)
    views = (None if tensor is None else tensor.view_as(tensor) for tensor in (input, weight, bias))  # no leaves
    found: Tensor = Convolution.apply(*views, geometry)
    return found


def pair(size: int | tuple[int, ...]) -> tuple[int, int]:
    """A size of rows and of columns."""
    rows, columns = (size, size) if isinstance(size, int) else size * (2 // len(size))
    return rows, columns
