"""The 2022 study as published, and each of its peculiarities as a choice, so that one study says what each was worth.

The weight 1e8 is its one-pixel digits'; its coloured digits have `--set weight=1e7`, where pixels reach from 0 to 255:
with `model/scale` 255 the same penalty is 1e7 / 255 here, since ours differentiates by pixels in [0, 1]. Its checkpoint
was picked on the shuffled test images: `--set evaluation/test=every`, then the rule `oracle-shuffled` of `study rules`.
"""

from optuna.distributions import CategoricalDistribution

from bgbias.methods.gradient_penalty import GradientPenalty
from study.space import SearchSpace

SPACE = SearchSpace(
    method=GradientPenalty,
    params={
        "method/lit_only": CategoricalDistribution([True, False]),
        "model/scale": CategoricalDistribution([1.0, 255.0]),
        "training/shuffle": CategoricalDistribution([False, True]),
        "dataset/last_class": CategoricalDistribution([False, True]),
    },
    fixed={
        "method/form": "reproduced",
        "method/weight": 1e8,
        "model/name": "small_cnn",
        "training/learning_rate": 1e-3,
        "training/batch_size": 32,
    },
)
