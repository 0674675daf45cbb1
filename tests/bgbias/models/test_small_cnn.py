import torch

from bgbias.models.small_cnn import SmallCnn
from bgbias.types import Task

TASK = Task(image_shape=(3, 28, 28), classes=("a", "b"), places=("a", "b", "none"), examples=1)


def test_a_scale_multiplies_pixels_and_changes_no_weight():
    networks = []
    for scale in (1.0, 255.0):
        torch.manual_seed(0)
        networks.append(SmallCnn(scale=scale).build(TASK))
    plain, scaled = networks
    image = torch.rand(2, 3, 28, 28)
    torch.testing.assert_close(scaled(image), plain(255 * image))
    pairs = list(zip(plain.parameters(), scaled.parameters(), strict=True))
    assert len(pairs) == 8
    assert all(torch.equal(one, other) for one, other in pairs)
