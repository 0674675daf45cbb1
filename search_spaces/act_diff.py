from optuna.distributions import CategoricalDistribution, FloatDistribution

from bgbias.methods.act_diff import ActDiff
from study.space import SearchSpace

SPACE = SearchSpace(
    method=ActDiff,
    params={
        "method/difference_weight": FloatDistribution(1e-4, 1e1, log=True),
        "training/learning_rate": FloatDistribution(5e-4, 5e-3, log=True),
        "training/batch_size": CategoricalDistribution([32, 64, 128]),
    },
    fixed={"training/schedule": "cosine"},
)
