from optuna.distributions import CategoricalDistribution, FloatDistribution

from bgbias.methods.clad import Clad
from study.space import SearchSpace

SPACE = SearchSpace(
    method=Clad,
    params={
        "method/contrast_weight": FloatDistribution(1e-2, 1e1, log=True),
        "method/temperature": FloatDistribution(0.05, 1.0, log=True),
        "method/positive_weight": CategoricalDistribution([0.0, 1.0]),
        "training/learning_rate": FloatDistribution(5e-4, 5e-3, log=True),
        "training/batch_size": CategoricalDistribution([32, 64, 128]),
    },
    fixed={"training/schedule": "cosine"},
)
