from optuna.distributions import CategoricalDistribution, FloatDistribution

from bgbias.methods.background_matrix import BackgroundMatrix
from study.space import SearchSpace

SPACE = SearchSpace(
    method=BackgroundMatrix,
    params={
        "method/rule": CategoricalDistribution(["adversarial", "balancing"]),
        "method/replaced": FloatDistribution(0.05, 1.0),
        "method/step": FloatDistribution(1e-3, 1e-1, log=True),
        "training/learning_rate": FloatDistribution(5e-4, 5e-3, log=True),
        "training/batch_size": CategoricalDistribution([32, 64, 128]),
    },
    fixed={"training/schedule": "cosine"},
)
