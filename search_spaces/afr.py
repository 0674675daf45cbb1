"""The paper's ranges. The learning rate and batches are the last layer's; all trials of a seed share the body."""

from optuna.distributions import CategoricalDistribution, FloatDistribution

from bgbias.methods.afr import Afr
from study.space import SearchSpace

SPACE = SearchSpace(
    method=Afr,
    params={
        "method/gamma": FloatDistribution(0.0, 20.0),
        "method/anchor": FloatDistribution(0.0, 0.25),
        "training/learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "training/batch_size": CategoricalDistribution([32, 64, 128]),
    },
    fixed={"training/schedule": "cosine"},
)
