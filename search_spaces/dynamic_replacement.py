from optuna.distributions import CategoricalDistribution, FloatDistribution

from bgbias.methods.dynamic_replacement import DynamicReplacement
from study.space import SearchSpace

SPACE = SearchSpace(
    method=DynamicReplacement,
    params={
        "method/p": FloatDistribution(0.05, 1.0),
        "training/learning_rate": FloatDistribution(5e-4, 5e-3, log=True),
        "training/batch_size": CategoricalDistribution([32, 64, 128]),
    },
    fixed={"training/schedule": "cosine"},
)
