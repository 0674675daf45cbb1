"""Losses of groups and the weights that rise with them, for which an accelerator neither waits nor adds at random."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from bgbias.errors import SettingError
from bgbias.methods.method import CROSS_ENTROPY


def example_losses(method: str, terms: Mapping[str, Tensor]) -> Tensor:
    """The cross-entropy of each example among a loss's terms: [B] float32, without gradient.

    Raises:
        SettingError: the loss has only its mean.
    """
    loss = terms[CROSS_ENTROPY].detach().float()
    if loss.ndim == 0:
        raise SettingError(
            f"{method} needs the cross-entropy of each example, but the method it is combined with gives their mean: "
            "choose another method"
        )
    return loss


def newest_means(value: Tensor, group: Tensor, last: Tensor) -> Tensor:
    """The mean of each group's examples in a batch; a group that the batch lacks keeps its last one.

    Args:
        value: [B] float.
        group: [B] int64 < G; a negative one belongs to none.
        last: [G] float.
    """
    member = F.one_hot(group.clamp(min=0), len(last)).to(value.dtype) * (group >= 0)[:, None]
    count = member.sum(dim=0)
    return torch.where(count > 0, value @ member / count.clamp(min=1), last)


def raised(log_weight: Tensor, loss: Tensor, count: Tensor, step: float, adjustment: float) -> Tensor:
    """The logarithms of w exp(step (L + adjustment / sqrt(n))), divided by the sum over the last dimension.

    Args:
        log_weight: [..., G] logarithms of w; one of -inf stays.
        loss: [..., G], L.
        count: [..., G] >= 0, n; below 1 it is taken as 1.
    """
    return (log_weight + step * (loss + adjustment / count.clamp(min=1).sqrt())).log_softmax(dim=-1)
