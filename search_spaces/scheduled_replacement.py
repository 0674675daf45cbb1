"""The controls of `learned_replacement`: fixed schedules of p."""

from optuna.distributions import CategoricalDistribution, FloatDistribution

from bgbias.methods.learned_replacement import LearnedReplacement
from study.space import SearchSpace

SPACE = SearchSpace(
    method=LearnedReplacement,
    params={
        "method/rule": CategoricalDistribution(["rising", "falling", "cosine"]),
        "method/highest": FloatDistribution(0.2, 1.0),
        "training/learning_rate": FloatDistribution(5e-4, 5e-3, log=True),
        "training/batch_size": CategoricalDistribution([32, 64, 128]),
    },
    fixed={"training/schedule": "cosine"},
)
