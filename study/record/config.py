"""The options of a study, typed and kept beside its results."""

from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from study.record import sqlite_uri
from study.record.storage import absolute_uri
from study.space import compared

LONGEST_NAME = 256
"""Characters of an experiment's name that MLflow's databases hold."""


def new_id() -> str:
    """An id that no other study has."""
    return uuid4().hex


def _anchored_spaces(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(Path(name).absolute()) if name.endswith(".py") else name for name in names)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class StudyConfig:
    """A study's options. Each field that has a description is an option of `study run`, with this help and default.

    Paths are made absolute, so that they mean the same from every folder.

    study_id: the tag by which the study's runs are found in MLflow, made once
    spaces: names under `search_spaces` or paths of space files
    settings: flat settings fixed for every trial, or for those of one space (`study.settings.of_space`), on top of each
        space's own
    classes: the names of the dataset's classes, recorded when the study starts
    """

    study_id: str = Field(default_factory=new_id)
    spaces: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_anchored_spaces)] = Field(
        default_factory=compared
    )
    settings: dict[str, Any] = Field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    dataset: Annotated[str, Field(description="a name that `study datasets` lists")] = "colored-digits"
    data: Annotated[
        Annotated[Path, AfterValidator(Path.absolute)] | None,
        Field(description="folder of the dataset's source files"),
    ] = None
    trials: Annotated[int, Field(ge=1, description="trials of each space")] = 8
    epochs: Annotated[int, Field(ge=1, description="epochs of each trial")] = 20
    seed: Annotated[int, Field(ge=0, description="seed of training and of the search")] = 0
    objectives: Annotated[
        tuple[str, ...],
        Field(
            description="validation metric to improve, such as val/shuffled/accuracy, or a variant for its accuracy; "
            "may be repeated; if left out, the objectives of the spaces or the dataset"
        ),
    ] = ()
    early_stopping: Annotated[
        bool | None, Field(description="stop bad trials early; if left out, yes with one objective, no with several")
    ] = None
    confirm_seeds: Annotated[int, Field(ge=0, description="fresh seeds for each space's winners")] = 0
    confirm_top: Annotated[
        int, Field(ge=1, description="number of each space's best trials that get fresh seeds, with one objective")
    ] = 1
    searches: Annotated[
        int,
        Field(ge=1, description="number of times that each search is made, with other seeds of the search"),
    ] = 1
    baseline: Annotated[
        str, Field(description="space to compare the others with; the study's first space if this one is not in it")
    ] = field(default_factory=lambda: compared()[0])
    family: Annotated[
        tuple[str, ...],
        Field(
            description="SPACE:VARIANT, comparisons with the baseline whose p values are corrected together, such as "
            "'*:shuffled'; may be repeated; all if left out"
        ),
    ] = ()
    tracking_uri: Annotated[
        Annotated[str, AfterValidator(sqlite_uri.absolute_uri)] | None,
        Field(description="address of MLflow; if left out, a store in the output folder"),
    ] = None
    experiment: Annotated[
        Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)] | None,
        Field(description="name of MLflow's experiment; if left out, the dataset's name"),
    ] = None
    address: Annotated[
        str | None, Field(description="address of a Ray cluster; if left out, Ray is started on this machine")
    ] = None
    storage: Annotated[
        Annotated[str, AfterValidator(absolute_uri)] | None,
        Field(description="path or URI for checkpoints that every node can reach; if left out, the output folder"),
    ] = None
    cpus_per_trial: Annotated[float, Field(gt=0, description="CPUs that each trial reserves")] = 1.0
    gpus_per_trial: Annotated[
        float, Field(ge=0, description="GPUs that each trial reserves; with 0.5, two trials share one")
    ] = 0.0
    max_concurrent: Annotated[int | None, Field(ge=1, description="largest number of trials at a time")] = None
    device: Annotated[str, Field(description="auto, cpu or cuda")] = "auto"

    @property
    def mlflow_experiment(self) -> str:
        """MLflow's experiment: the one asked for, or the dataset's name."""
        return self.experiment or self.dataset

    def base(self) -> dict[str, Any]:
        """The flat settings that all trials of the study share."""
        return {
            "dataset/name": self.dataset,
            "data": str(self.data) if self.data else None,
            "training/epochs": self.epochs,
            "seed": self.seed,
        }
