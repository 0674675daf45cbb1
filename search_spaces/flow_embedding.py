"""The number of samples is not searched: one pass yields the accuracy at each, and validation chooses every epoch."""

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from bgbias.methods.flow.method import FlowEmbedding
from study.space import SearchSpace

SPACE = SearchSpace(
    method=FlowEmbedding,
    params={
        "method/family": CategoricalDistribution(["affine_coupling", "masked_autoregressive", "spline_coupling"]),
        "method/depth": IntDistribution(2, 8),
        "method/hidden": CategoricalDistribution([64, 128, 256]),
        "method/flow_hidden": CategoricalDistribution([32, 64, 128]),
        "method/width": CategoricalDistribution([8, 16, 32]),
        "method/swaps": IntDistribution(1, 8),
        "method/own_weight": FloatDistribution(0.1, 0.9),
        "method/likelihood_weight": FloatDistribution(1e-4, 1.0, log=True),
        "method/vote_weight": FloatDistribution(0.1, 2.0, log=True),
        "method/settling": FloatDistribution(0.0, 0.5),
        "method/temperature": FloatDistribution(0.25, 1.25),
        "method/faithful": CategoricalDistribution([True, False]),
        "method/vote": CategoricalDistribution(["majority", "mean_probability"]),
        "training/learning_rate": FloatDistribution(5e-4, 5e-3, log=True),
        "training/batch_size": CategoricalDistribution([64, 128, 256]),
    },
    fixed={"training/schedule": "cosine"},
)
