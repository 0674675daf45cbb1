"""Empirical risk minimisation: cross-entropy on the biased training set, the baseline of every comparison."""

from bgbias.components import component
from bgbias.methods.method import Method


@component
class Erm(Method):
    """No hyper-parameters of its own.

    Supervision: none
    Source: V. Vapnik, "Principles of Risk Minimization for Learning Theory", 1991.
    """
