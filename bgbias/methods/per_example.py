"""State that a method keeps for each training example."""

from typing import Any

import torch
from torch import Tensor, nn


class PerExample(nn.Module):
    """A number for each training example, saved and resumed.

    A checkpoint's numbers are loaded whatever their count is, because a model may be evaluated beside other data.

    value: [N], indexed by `Batch.index`
    """

    value: Tensor

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.register_buffer("value", value)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        stored = state_dict.get(f"{prefix}value", self.value)
        self.value = torch.empty_like(self.value).resize_(stored.shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)
