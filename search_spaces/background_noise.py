from optuna.distributions import CategoricalDistribution, FloatDistribution

from bgbias.methods.background_noise import BackgroundNoise
from study.space import SearchSpace

SPACE = SearchSpace(
    method=BackgroundNoise,
    params={
        "method/noise": FloatDistribution(0.05, 2.0, log=True),
        "method/noise_weight": FloatDistribution(0.1, 10.0, log=True),
        "training/learning_rate": FloatDistribution(5e-4, 5e-3, log=True),
        "training/batch_size": CategoricalDistribution([32, 64, 128]),
    },
    fixed={"training/schedule": "cosine"},
)
