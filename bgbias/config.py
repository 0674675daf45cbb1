"""Everything that defines one run, typed, and its flat form of names and plain values.

Search spaces, checkpoints and trackers use the flat form: `method/name`, `method/weight`, `training/epochs`, `seed`,
`data`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from bgbias.components import Component, make
from bgbias.data.dataset import DatasetSpec
from bgbias.data.datasets import datasets
from bgbias.errors import SettingError
from bgbias.evaluation.evaluate import Evaluation
from bgbias.methods import methods
from bgbias.methods.method import Method
from bgbias.models import models
from bgbias.models.model import Model
from bgbias.optimization import Training
from bgbias.precision import arithmetic

SECTIONS = ("dataset", "method", "model", "training", "evaluation")
NAME = "name"
SEED = "seed"
DATA = "data"
RENAMED = {"dataset/strength": "dataset/bias_strength"}
"""Names in the flat form of older checkpoints and studies, and today's."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A dataset, a method, a model, how it is trained and evaluated, and the seed (>= 0).

    data: the folder of the dataset's source files; None for embedded or downloaded data
    """

    dataset: DatasetSpec
    method: Method
    model: Model
    training: Training
    evaluation: Evaluation
    seed: int
    data: Path | None = None

    def evaluation_arithmetic(self, device: torch.device) -> torch.autocast:
        """The precision to evaluate in, as a context."""
        return arithmetic(self.evaluation.precision or self.training.precision, device)

    @classmethod
    def from_flat(cls, flat: Mapping[str, Any]) -> "RunConfig":
        """Read the flat form.

        `dataset/name` and `method/name` are required. A missing setting takes its default, a missing model the
        dataset's own.

        Raises:
            SettingError: a key is unknown or a value against its rule.
            UnknownNameError: no such dataset, method or model.
        """
        sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
        for key, value in flat.items():
            section, _, field = RENAMED.get(key, key).partition("/")
            if key in (SEED, DATA):
                continue
            if section not in sections or not field:
                raise SettingError(
                    f"unknown setting '{key}': choose {SEED}, {DATA}, or <section>/<field> "
                    f"with one of the sections {', '.join(sections)}"
                )
            sections[section][field] = value
        dataset = datasets.find(sections["dataset"].pop(NAME, ""))
        method = methods.find(sections["method"].pop(NAME, ""))
        model = models.find(sections["model"].pop(NAME, dataset.model))
        return cls(
            dataset=make(dataset, sections["dataset"], "dataset"),
            method=make(method, sections["method"], "method"),
            model=make(model, sections["model"], "model"),
            training=make(Training, sections["training"], "training"),
            evaluation=make(Evaluation, sections["evaluation"], "evaluation"),
            seed=_checked_seed(flat.get(SEED, 0)),
            data=Path(flat[DATA]) if flat.get(DATA) else None,
        )

    def to_flat(self) -> dict[str, Any]:
        """The flat form, complete: `from_flat` of it gives an equal configuration."""
        flat: dict[str, Any] = {}
        for section in SECTIONS:
            part = getattr(self, section)
            if isinstance(part, Component):
                flat[f"{section}/{NAME}"] = part.name()
            flat |= {f"{section}/{field.name}": getattr(part, field.name) for field in fields(part)}
        return {**flat, SEED: self.seed, DATA: str(self.data) if self.data else None}


def _checked_seed(value: Any) -> int:
    if not str(value).isdecimal():
        raise SettingError(f"seed must be a whole number >= 0, but got {value!r}")
    return int(value)
