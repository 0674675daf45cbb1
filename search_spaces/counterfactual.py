from optuna.distributions import CategoricalDistribution, FloatDistribution

from bgbias.methods.counterfactual import Counterfactual
from study.space import SearchSpace

SPACE = SearchSpace(
    method=Counterfactual,
    params={
        "method/agreement": FloatDistribution(1e-2, 1e2, log=True),
        "method/distance": CategoricalDistribution(["jensen_shannon", "squared_logits"]),
        "training/learning_rate": FloatDistribution(5e-4, 5e-3, log=True),
        "training/batch_size": CategoricalDistribution([32, 64, 128]),
    },
    fixed={"training/schedule": "cosine"},
)
