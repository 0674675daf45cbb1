"""The reproduced study's network for MNIST: two 5 x 5 convolutions and two linear layers."""

from torch import Tensor, nn

from bgbias.components import Positive, component
from bgbias.models.model import Classifier, Model
from bgbias.models.pooling import HalvingMaxPool
from bgbias.types import Task


class Multiply(nn.Module):
    """Multiplies images by a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, image: Tensor) -> Tensor:
        return self.factor * image


@component
class SmallCnn(Model):
    """conv5x5(10)-maxpool2-relu-conv5x5(20)-maxpool2-relu-fc50-relu-fc(K), default initialisation.

    scale: > 0, by which pixels in [0, 1] are multiplied before the first layer; the study's coloured digits have 255

    Source: "Mitigating image background bias in DNN" (2022). On 28 x 28 RGB 0.77 million multiply-adds.
    """

    scale: Positive = 1.0

    def build(self, task: Task) -> Classifier:
        channels, height, width = task.image_shape
        after = [((side - 4) // 2 - 4) // 2 for side in (height, width)]
        body = nn.Sequential(
            *([] if self.scale == 1 else [Multiply(self.scale)]),
            nn.Conv2d(channels, 10, 5),
            HalvingMaxPool(),
            nn.ReLU(),
            nn.Conv2d(10, 20, 5),
            HalvingMaxPool(),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(20 * after[0] * after[1], 50),
            nn.ReLU(),
        )
        return Classifier(body, nn.Linear(50, len(task.classes)))
