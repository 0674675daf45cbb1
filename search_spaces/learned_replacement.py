from optuna.distributions import CategoricalDistribution, FloatDistribution

from bgbias.methods.learned_replacement import LearnedReplacement
from study.space import SearchSpace

SPACE = SearchSpace(
    method=LearnedReplacement,
    params={
        "method/rule": CategoricalDistribution(["heuristic", "cuda", "bilevel"]),
        "method/highest": FloatDistribution(0.2, 1.0),
        "method/rate": FloatDistribution(3e-3, 0.1, log=True),
        "training/learning_rate": FloatDistribution(5e-4, 5e-3, log=True),
        "training/batch_size": CategoricalDistribution([32, 64, 128]),
    },
    fixed={"training/schedule": "cosine"},
)
