from optuna.distributions import CategoricalDistribution, FloatDistribution

from bgbias.methods.recombination import Recombination
from study.space import SearchSpace

SPACE = SearchSpace(
    method=Recombination,
    params={
        "method/p": FloatDistribution(0.05, 1.0),
        "method/scale": FloatDistribution(0.0, 0.5),
        "method/rotation": FloatDistribution(0.0, 30.0),
        "method/shift": FloatDistribution(0.0, 0.15),
        "method/label_smoothing": CategoricalDistribution([0.0, 0.1]),
        "training/learning_rate": FloatDistribution(5e-4, 5e-3, log=True),
        "training/batch_size": CategoricalDistribution([32, 64, 128]),
    },
    fixed={"training/schedule": "cosine"},
)
