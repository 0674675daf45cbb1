"""The step's range is that of DomainBed and SubpopBench, the adjustment's that of the paper."""

from optuna.distributions import CategoricalDistribution, FloatDistribution

from bgbias.methods.group_dro import GroupDro
from study.space import SearchSpace

SPACE = SearchSpace(
    method=GroupDro,
    params={
        "method/step": FloatDistribution(1e-3, 1e-1, log=True),
        "method/adjustment": FloatDistribution(0.0, 5.0),
        "training/learning_rate": FloatDistribution(5e-4, 5e-3, log=True),
        "training/batch_size": CategoricalDistribution([32, 64, 128]),
    },
    fixed={"training/schedule": "cosine"},
)
