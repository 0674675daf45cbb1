"""The reproduced study's network for MNIST: two 5 x 5 convolutions and two linear layers."""

from torch import nn

from bgbias.components import component
from bgbias.models.model import Classifier, Model
from bgbias.types import Task


@component
class SmallCnn(Model):
    """conv5x5(10)-maxpool2-relu-conv5x5(20)-maxpool2-relu-fc50-relu-fc(K), default initialisation.

    Source: "Mitigating image background bias in DNN" (2022). On 28 x 28 RGB 0.77 million multiply-adds.
    """

    def build(self, task: Task) -> Classifier:
        channels, height, width = task.image_shape
        after = [((side - 4) // 2 - 4) // 2 for side in (height, width)]
        body = nn.Sequential(
            nn.Conv2d(channels, 10, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(10, 20, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(20 * after[0] * after[1], 50),
            nn.ReLU(),
        )
        return Classifier(body, nn.Linear(50, len(task.classes)))
