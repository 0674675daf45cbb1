"""Means over the groups of a batch, for which an accelerator neither waits nor adds in a random order."""

import torch.nn.functional as F
from torch import Tensor


def group_means(value: Tensor, group: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """The mean of each group's examples, and 0 for a group without examples.

    Args:
        value: [B] float.
        group: [B] int64 < groups; a negative one belongs to none.

    Returns:
        Means [groups], and how many examples each has, at least 1: [groups] float.
    """
    member = F.one_hot(group.clamp(min=0), groups).to(value.dtype) * (group >= 0)[:, None]
    count = member.sum(dim=0).clamp(min=1)
    return value @ member / count, count
