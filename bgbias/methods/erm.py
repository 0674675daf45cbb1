"""Empirical risk minimisation: cross-entropy on the biased training set, the baseline of every comparison."""

from pydantic.dataclasses import dataclass

from bgbias.components import CHECKED
from bgbias.methods.method import Method


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Erm(Method):
    """No hyper-parameters of its own.

    Source: V. Vapnik, "Principles of Risk Minimization for Learning Theory", 1991.
    """
