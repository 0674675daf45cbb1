"""The 2022 study's own form, network and optimiser settings: Adam 1e-3, batches of 32."""

from optuna.distributions import FloatDistribution, IntDistribution

from bgbias.methods.gradient_penalty import GradientPenalty
from study.space import SearchSpace

SPACE = SearchSpace(
    method=GradientPenalty,
    params={
        "method/weight": FloatDistribution(1e1, 1e8, log=True),
        "method/dilation": IntDistribution(0, 4),
    },
    fixed={
        "method/form": "reproduced",
        "model/name": "small_cnn",
        "training/learning_rate": 1e-3,
        "training/batch_size": 32,
    },
)
