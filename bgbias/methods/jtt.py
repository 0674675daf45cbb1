"""Just train twice: what a first classifier gets wrong counts more for a second one."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Generator, Tensor

from bgbias.components import component
from bgbias.data.dataset import Dataset, Variant, batches
from bgbias.errors import SettingError
from bgbias.methods.method import Learner, Method, Notes, Stage
from bgbias.methods.per_example import PerExample
from bgbias.models.model import Classifier
from bgbias.types import Batch, Task


@component
class Jtt(Method):
    """Train a first classifier by ERM, then a second one with larger weights for the first one's errors.

    Errors are those on the training images without augmentation; the second classifier starts from new weights.

    The paper repeats the errors `upweight` times. Here their loss is weighted so, which has the same expectation, and
    all weights are divided by their mean, so that an epoch stays as long and the learning rate keeps its meaning.

    identification: in (0, 1), the share of the epochs that the first classifier has, at least one; published 40 to 60
        epochs before 300, searched from 0.2 to 0.8
    upweight: >= 1, of the errors; published 4 to 100, searched from 1 to 316

    Supervision: none, but the paper chooses both numbers by the worst group's validation accuracy
    Cost: ERM's, of as many epochs in all
    Source: E. Liu et al., "Just Train Twice: Improving Group Robustness without Training Group Information", 2021
    (arXiv 2107.09044).
    """

    identification: Annotated[float, Field(gt=0, lt=1)] = 0.2
    upweight: Annotated[float, Field(ge=1)] = 20.0

    def stages(self, epochs: int) -> Sequence[Stage]:
        first = max(1, min(epochs - 1, round(self.identification * epochs)))
        return (Stage(first, evaluated=False), Stage(epochs - first, restart=True))

    def build(self, task: Task, classifier: Classifier) -> PerExample:
        return PerExample(torch.zeros(task.examples))

    def enter(self, stage: int, learner: Learner, dataset: Dataset, rng: Generator) -> None:
        if stage == 0:
            wrong = torch.zeros(len(dataset.train))
        else:
            wrong = wrong_examples(learner, dataset.train).float()
            check_errors(wrong)
        learner.own.value = wrong.to(dataset.train.assignment.device)

    def weigh(self, learner: Learner, batch: Batch, terms: Mapping[str, Tensor]) -> Tensor:
        weight = 1 + (self.upweight - 1) * learner.own.get_buffer("value")
        return weight[batch.index] / weight.mean()

    def notes(self, learner: Learner, validation: Mapping[str, Variant]) -> Notes:
        return Notes({"error_share": learner.own.get_buffer("value").mean().item()})


@torch.no_grad()
def wrong_examples(learner: Learner, variant: Variant) -> Tensor:
    """Find the examples of a variant that are predicted wrongly: [N] bool, True = wrong."""
    learner.eval()
    found = [learner(batch.image).argmax(dim=1) != batch.label for batch in map(variant.batch, batches(variant))]
    return torch.cat(found)


def check_errors(wrong: Tensor) -> None:
    """Check that the first classifier makes some error.

    Raises:
        SettingError: no example is wrong, so that there is nothing to train on twice.
    """
    if not wrong.any():
        raise SettingError(
            f"jtt needs training images that its first classifier gets wrong, but it predicts all {len(wrong)} "
            "correctly: lower method/identification or training/learning_rate, or raise training/weight_decay"
        )
