"""What was asked of a study, typed and kept beside its results."""

from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

ALL_METHODS = ("erm", "static_replacement", "dynamic_replacement", "gradient_penalty")


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class StudyConfig:
    """
    study_id: what its runs are found by in MLflow, made once
    spaces: names under `search_spaces` or paths of space files
    dataset: its name; data: folder of its source files, or None
    settings: flat settings fixed for every trial, on top of each space's own
    objective: the variant the search is judged on; None lets the space or the dataset choose
    trials: per space, >= 1; epochs: of each trial, >= 1; seed: of every trial and of the searches
    early_stopping: whether a scheduler ends hopeless trials before their last epoch
    confirm_seeds: fresh seeds on which each space's winner is trained again, >= 0
    tracking_uri: of MLflow; None keeps a SQLite store beside the outputs
    experiment: MLflow's experiment
    address: of a Ray cluster; None starts Ray on this machine
    storage: path or URI that every node reaches, for unfinished trials' checkpoints; None keeps them in the output
    cpus_per_trial, gpus_per_trial: what Ray reserves; fractions share
    max_concurrent: trials at a time; None lets the resources decide
    device: `auto`, `cpu` or `cuda`
    """

    study_id: str = Field(default_factory=lambda: uuid4().hex)
    spaces: Annotated[tuple[str, ...], Field(min_length=1)] = ALL_METHODS
    dataset: str = "colored-digits"
    data: Path | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    objective: str | None = None
    trials: Annotated[int, Field(ge=1)] = 8
    epochs: Annotated[int, Field(ge=1)] = 20
    early_stopping: bool = True
    seed: Annotated[int, Field(ge=0)] = 0
    confirm_seeds: Annotated[int, Field(ge=0)] = 0
    tracking_uri: str | None = None
    experiment: str | None = None
    address: str | None = None
    storage: str | None = None
    cpus_per_trial: Annotated[float, Field(gt=0)] = 1.0
    gpus_per_trial: Annotated[float, Field(ge=0)] = 0.0
    max_concurrent: Annotated[int, Field(ge=1)] | None = None
    device: str = "auto"

    @property
    def mlflow_experiment(self) -> str:
        """MLflow's experiment: the one asked for, or the dataset's name."""
        return self.experiment or self.dataset

    def base(self) -> dict[str, Any]:
        """The flat settings that all trials of the study share."""
        return {
            "dataset/name": self.dataset,
            "data": str(self.data.absolute()) if self.data else None,
            "training/epochs": self.epochs,
            "seed": self.seed,
        }
