"""`study spaces` and `study datasets`: the names to choose from, and their options."""

import dataclasses
from typing import Any

from rich.table import Table

from study.cli.without_torch import without_torch
from study.display import show_table


def spaces() -> None:
    """List the search spaces, their methods, and what they search."""
    show_table(without_torch(_spaces))


def list_datasets() -> None:
    """List the datasets, methods and models, with their options."""
    show_table(without_torch(_components))


def _spaces() -> Table:
    from study.space import label, load_space, space_names

    table = Table("space", "method", "searched")
    for name in space_names():
        space = load_space(name)
        domains = "\n".join(f"{key}: {domain(value)}" for key, value in space.params.items())
        table.add_row(label(name), space.method.name(), domains)
    return table


def _components() -> Table:
    from bgbias.data.datasets import datasets
    from bgbias.methods import methods
    from bgbias.models import models

    table = Table("kind", "name", "options")
    for kind, known in (("dataset", datasets), ("method", methods), ("model", models)):
        for name, cls in known.items():
            options = ", ".join(f"{f.name}={shown(f.default)}" for f in dataclasses.fields(cls))  # type: ignore[arg-type]
            table.add_row(kind, name, options)
    return table


def domain(distribution: Any) -> str:
    """Write one of Optuna's distributions as text: `32, 64, 128` or `0.0005 to 0.005, log`."""
    if hasattr(distribution, "choices"):
        return ", ".join(map(str, distribution.choices))
    log = ", log" if distribution.log else ""
    step = f", step {distribution.step}" if distribution.step not in (None, 1) else ""
    return f"{distribution.low} to {distribution.high}{log}{step}"


def shown(default: object) -> str:
    """Write an option's default as Python does, but a fraction with three digits."""
    return f"{default:.3g}" if isinstance(default, float) else repr(default)
