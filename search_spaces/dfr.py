"""C is chosen inside, so little is left to search. All trials of a seed share the body."""

from optuna.distributions import IntDistribution

from bgbias.methods.dfr import Dfr
from study.space import SearchSpace

SPACE = SearchSpace(method=Dfr, params={"method/draws": IntDistribution(1, 20)})
