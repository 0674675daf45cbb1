"""DomainBed's range. Without weight decay, which is the default."""

from optuna.distributions import CategoricalDistribution, FloatDistribution

from bgbias.methods.spectral_decoupling import SpectralDecoupling
from study.space import SearchSpace

SPACE = SearchSpace(
    method=SpectralDecoupling,
    params={
        "method/logit_weight": FloatDistribution(1e-5, 1e-1, log=True),
        "training/learning_rate": FloatDistribution(5e-4, 5e-3, log=True),
        "training/batch_size": CategoricalDistribution([32, 64, 128]),
    },
    fixed={"training/schedule": "cosine"},
)
