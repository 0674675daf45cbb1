"""The 2022 study's own form, network and optimiser settings: Adam 1e-3, batches of 32, pixels from 0 to 1 or to 255.

Its dilated masks; `--set dilation=0` for masks as they are.
"""

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from bgbias.methods.gradient_penalty import GradientPenalty
from study.space import SearchSpace

SPACE = SearchSpace(
    method=GradientPenalty,
    params={
        "method/weight": FloatDistribution(1e0, 1e8, log=True),
        "method/dilation": IntDistribution(1, 4),
        "model/scale": CategoricalDistribution([1.0, 255.0]),
    },
    fixed={
        "method/form": "reproduced",
        "model/name": "small_cnn",
        "training/learning_rate": 1e-3,
        "training/batch_size": 32,
    },
)
