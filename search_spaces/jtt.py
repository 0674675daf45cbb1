"""SubpopBench's ranges."""

from optuna.distributions import CategoricalDistribution, FloatDistribution

from bgbias.methods.jtt import Jtt
from study.space import SearchSpace

SPACE = SearchSpace(
    method=Jtt,
    params={
        "method/identification": FloatDistribution(0.2, 0.8),
        "method/upweight": FloatDistribution(1.0, 316.0, log=True),
        "training/learning_rate": FloatDistribution(5e-4, 5e-3, log=True),
        "training/batch_size": CategoricalDistribution([32, 64, 128]),
    },
    fixed={"training/schedule": "cosine"},
)
