from optuna.distributions import CategoricalDistribution, FloatDistribution

from bgbias.methods.balanced import Balanced
from study.space import SearchSpace

SPACE = SearchSpace(
    method=Balanced,
    params={
        "method/by": CategoricalDistribution(["class", "group"]),
        "method/how": CategoricalDistribution(["subsample", "reweight"]),
        "training/learning_rate": FloatDistribution(5e-4, 5e-3, log=True),
        "training/batch_size": CategoricalDistribution([32, 64, 128]),
    },
    fixed={"training/schedule": "cosine"},
)
