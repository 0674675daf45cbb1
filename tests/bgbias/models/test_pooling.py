import pytest
import torch
from torch.nn.functional import max_pool2d

from bgbias.models.pooling import HalvingMaxPool


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("side", [(2, 2), (5, 8), (26, 26), (11, 7)])
def test_it_pools_alike_with_gradients_and_without(side, layout):
    image = torch.randn(3, 4, *side, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=layout)
    pool = HalvingMaxPool()
    expected = max_pool2d(image, 2)
    assert torch.equal(pool(image), expected)
    with torch.no_grad():
        assert torch.equal(pool(image), expected)
