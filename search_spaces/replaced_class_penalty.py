from optuna.distributions import CategoricalDistribution, FloatDistribution

from bgbias.methods.replaced_class_penalty import ReplacedClassPenalty
from study.space import SearchSpace

SPACE = SearchSpace(
    method=ReplacedClassPenalty,
    params={
        "method/p": FloatDistribution(0.05, 1.0),
        "method/penalty": FloatDistribution(1e-2, 1e1, log=True),
        "method/form": CategoricalDistribution(["unlikelihood", "log_odds"]),
        "training/learning_rate": FloatDistribution(5e-4, 5e-3, log=True),
        "training/batch_size": CategoricalDistribution([32, 64, 128]),
    },
    fixed={"training/schedule": "cosine"},
)
