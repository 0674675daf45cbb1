from optuna.distributions import CategoricalDistribution, FloatDistribution

from bgbias.methods.worst_of_k import WorstOfK
from study.space import SearchSpace

SPACE = SearchSpace(
    method=WorstOfK,
    params={
        "method/k": CategoricalDistribution([2, 4, 8]),
        "method/mix": FloatDistribution(0.1, 1.0),
        "method/otherwise": CategoricalDistribution(["own", "random"]),
        "training/learning_rate": FloatDistribution(5e-4, 5e-3, log=True),
        "training/batch_size": CategoricalDistribution([32, 64, 128]),
    },
    fixed={"training/schedule": "cosine"},
)
