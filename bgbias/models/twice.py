"""Layers whose second derivatives are computed by the kernels of first derivatives, with the same results, faster."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from bgbias.models.kernels.memory import has_kernel, pixels

Parameters = tuple[Tensor, Tensor | None]
"""A convolution's weight and bias."""

Options = tuple[Any, ...]
"""Stride, padding, dilation, whether it is transposed, the output's padding, and the number of groups."""


def differentiate_twice(module: nn.Module) -> None:
    """Prepare a module in place for losses that hold a gradient with respect to its input.

    Its layers of the types `Conv2d` and `MaxPool2d` compute such losses' derivatives faster.
    Parameters, their names, outputs and derivatives are those of before, up to rounding. Gradients with respect to
    parameters cannot be differentiated again: PyTorch raises a RuntimeError.
    """
    for layer in module.modules():
        layer.__class__ = TWICE.get(type(layer), type(layer))


class TwiceConv2d(nn.Conv2d):
    """`Conv2d` without kernels as large as the picture, which PyTorch's second derivative has."""

    def forward(self, image: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C', H', W']."""
        if not image.requires_grad or self.padding_mode != "zeros" or isinstance(self.padding, str):
            return super().forward(image)
        weight, bias = self.weight, self.bias
        if torch.is_autocast_enabled(image.device.type):
            dtype = torch.get_autocast_dtype(image.device.type)
            image, weight, bias = image.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
        options = (self.stride, self.padding, self.dilation, False, (0, 0), self.groups)
        of_image: Tensor = _OfImage.apply(image, (weight, bias), options)
        return of_image.add_(_OfParameters.apply(weight, bias, image.detach(), options, of_image.shape))


class _OfImage(Function):
    """The convolution, as a function of the image alone.

    The parameters have a node of their own, so that a gradient of the image does not compute theirs, nor the reverse.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor, parameters: Parameters, options: Options) -> Tensor:
        weight, bias = parameters
        ctx.save_for_backward(image.detach(), weight)
        ctx.options = options
        return torch.convolution(image, weight, bias, *options)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        image, weight = ctx.saved_tensors
        return _ImageGradient.apply(gradient, weight, image, ctx.options), None, None


class _OfParameters(Function):
    """Zeros of the convolution's shape, with the convolution's gradient for the parameters."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, bias: Tensor | None, image: Tensor, options: Options, shape: torch.Size
    ) -> Tensor:
        ctx.save_for_backward(weight, image)
        ctx.options, ctx.has_bias = options, bias is not None
        return image.new_zeros(()).expand(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, image = ctx.saved_tensors
        _, of_weight, of_bias = gradients(gradient, image, weight, ctx.options, (False, True, ctx.has_bias))
        return of_weight, of_bias, None, None, None


class _ImageGradient(Function):
    """The convolution's gradient for the image, as a function of the output's gradient and of the weight."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, weight: Tensor, image: Tensor, options: Options) -> Tensor:
        ctx.save_for_backward(gradient, weight)
        ctx.options = options
        return image_gradient(gradient, weight, image, options)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, direction: Tensor) -> tuple[Tensor | None, ...]:
        gradient, weight = ctx.saved_tensors
        if gradient.is_contiguous(memory_format=torch.channels_last):
            direction = direction.contiguous(memory_format=torch.channels_last)
        _, of_weight, _ = gradients(gradient, direction, weight, ctx.options, (False, True, False))
        return torch.convolution(direction, weight, None, *ctx.options), of_weight, None, None


def image_gradient(gradient: Tensor, weight: Tensor, image: Tensor, options: Options) -> Tensor:
    """A convolution's gradient for its image; on one CPU core, machine code computes that for up to three channels."""
    if not _for_machine_code(gradient, weight, options):
        return gradients(gradient, image, weight, options, (True, False, False))[0]
    from bgbias.models.kernels.convolution import gradient_of_pictures

    found = torch.empty(image.shape, dtype=image.dtype)
    gradient_of_pictures(pixels(gradient), weight.detach().contiguous().numpy(), found.numpy())
    return found


def _for_machine_code(gradient: Tensor, weight: Tensor, options: Options) -> bool:
    """True for the convolutions of `gradient_of_pictures`, which uses one thread, where PyTorch uses no more."""
    stride, _, dilation, _, _, groups = options
    ordinary = (stride, dilation, groups) == ((1, 1), (1, 1), 1) and weight.shape[1] <= 3
    return ordinary and has_kernel(gradient) and torch.get_num_threads() == 1


def gradients(
    gradient: Tensor, image: Tensor, weight: Tensor, options: Options, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """A convolution's gradients for its image, weight and bias."""
    found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        gradient, image, weight, [len(weight)], *options, wanted
    )
    return found


class TwiceMaxPool2d(nn.MaxPool2d):
    """`MaxPool2d` that notes the largest pixels once for both derivatives."""

    def forward(self, image: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C, H', W']."""
        pooled: Tensor
        if image.requires_grad and not self.return_indices:
            options = (self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)
            pooled = _Pool.apply(image, options)
        else:
            pooled = super().forward(image)
        return pooled


class _Pool(Function):
    """The pooling, as a function of the image."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, options: Options) -> Tensor:
        found: tuple[Tensor, Tensor] = torch.ops.aten.max_pool2d_with_indices(image, *options)
        pooled, place = found
        ctx.save_for_backward(image.detach(), place)
        ctx.options = options
        return pooled

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        image, place = ctx.saved_tensors
        return _PoolGradient.apply(gradient, image, place, ctx.options), None


class _PoolGradient(Function):
    """The pooling's gradient for the image, as a function of the output's gradient."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, image: Tensor, place: Tensor, options: Options) -> Tensor:
        ctx.save_for_backward(place)
        of_image: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(gradient, image, *options, place)
        return of_image

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, direction: Tensor) -> tuple[Tensor, None, None, None]:
        (place,) = ctx.saved_tensors
        pixels, largest = (values.permute(0, 2, 3, 1).flatten(1, 2) for values in (direction, place))
        found: Tensor = pixels.gather(1, largest).view(len(place), *place.shape[2:], place.shape[1])
        return found.permute(0, 3, 1, 2), None, None, None


TWICE: dict[type[nn.Module], type[nn.Module]] = {nn.Conv2d: TwiceConv2d, nn.MaxPool2d: TwiceMaxPool2d}
"""The type that a layer of each type becomes."""
