from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from bgbias.methods.gradient_penalty import GradientPenalty
from study.space import SearchSpace

SPACE = SearchSpace(
    method=GradientPenalty,
    params={
        "method/form": CategoricalDistribution(["log_probability", "aggregated", "rrr", "gradmask"]),
        "method/weight": FloatDistribution(1e-4, 1e1, log=True),
        "method/dilation": IntDistribution(0, 4),
        "method/dimming": FloatDistribution(0.0, 1.0),
        "training/learning_rate": FloatDistribution(5e-4, 5e-3, log=True),
        "training/batch_size": CategoricalDistribution([32, 64, 128]),
    },
    fixed={"training/schedule": "cosine"},
)
