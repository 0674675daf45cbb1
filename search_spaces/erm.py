from optuna.distributions import CategoricalDistribution, FloatDistribution

from bgbias.methods.erm import Erm
from study.space import SearchSpace

SPACE = SearchSpace(
    method=Erm,
    params={
        "training/learning_rate": FloatDistribution(5e-4, 5e-3, log=True),
        "training/batch_size": CategoricalDistribution([32, 64, 128]),
    },
    fixed={"training/schedule": "cosine"},
)
