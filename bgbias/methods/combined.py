"""Combinations of methods, such as `dynamic_replacement+gradient_penalty`, without a class for each pair.

`enter`, `view` and `augment` follow one another in the order of the names; so does `prepare`, after that of the method
that divides the run into stages. Penalties and notes are merged, weights are multiplied. A hook or a field that only
one method may own is refused with both names.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from itertools import combinations
from typing import Any, ClassVar, TypeVar, get_type_hints

from pydantic import ValidationError
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from bgbias.components import component, field_names
from bgbias.data.dataset import Dataset, Variant
from bgbias.errors import SettingError
from bgbias.methods.method import SUPERVISION, Learner, Method, Notes, Output, SampledLogits, Stage
from bgbias.models.model import Classifier
from bgbias.optimization import Training
from bgbias.types import Batch, Examples, Task

M = TypeVar("M", bound=Method)
SEPARATOR = "+"
EXCLUSIVE = ("stages", "assign", "loss", "optimizers", "predict")
"""Hooks that only one of the methods may override."""
OF_STEPS = ("assign", "augment", "loss", "penalties", "weigh")
"""Hooks of a training step."""


class Combined(Method):
    """Several methods as one. Its fields are theirs; each has its own part of the learner.

    kinds: the methods' classes, in order
    """

    kinds: ClassVar[tuple[type[Method], ...]] = ()

    @classmethod
    def name(cls) -> str:
        """The methods' names with `+` between."""
        return SEPARATOR.join(kind.name() for kind in cls.kinds)

    @classmethod
    def supervision(cls) -> tuple[str, ...]:
        given = {word for kind in cls.kinds for word in kind.supervision()}
        return tuple(word for word in SUPERVISION if word in given)

    def __post_init__(self) -> None:
        try:
            self.methods  # noqa: B018 - every method checks its own fields
        except ValidationError as error:
            raise ValueError("; ".join(item["msg"] for item in error.errors())) from None

    @cached_property
    def methods(self) -> tuple[Method, ...]:
        """The methods, with their own fields."""
        return tuple(kind(**{name: getattr(self, name) for name in field_names(kind)}) for kind in self.kinds)

    def prepare(self, dataset: Dataset, rng: Generator) -> Dataset:
        for method in sorted(self.methods, key=lambda method: not overrides(type(method), "stages")):
            dataset = method.prepare(dataset, rng)  # a backbone's held-out pictures are drawn from the whole dataset
        return dataset

    def build(self, task: Task, classifier: Classifier) -> nn.Module:
        return nn.ModuleDict({method.name(): method.build(task, classifier) for method in self.methods})

    def stages(self, epochs: int) -> Sequence[Stage]:
        return self._owner("stages").stages(epochs)

    def enter(self, stage: int, learner: Learner, dataset: Dataset, rng: Generator) -> None:
        for method in self.methods:
            method.enter(stage, share_of(learner, method), dataset, rng)

    def view(self, stage: int, learner: Learner, dataset: Dataset, rng: Generator) -> Dataset:
        for method in self.methods:
            dataset = method.view(stage, share_of(learner, method), dataset, rng)
        return dataset

    def assign(self, learner: Learner, examples: Examples, rng: Generator) -> Tensor:
        owner = self._owner("assign")
        return owner.assign(share_of(learner, owner), examples, rng)

    def augment(self, learner: Learner, batch: Batch, rng: Generator) -> Batch:
        for method in self.methods:
            batch = method.augment(share_of(learner, method), batch, rng)
        return batch

    def loss(self, learner: Learner, batch: Batch, rng: Generator) -> dict[str, Tensor]:
        owner = self._owner("loss")
        if overrides(type(owner), "loss"):
            return owner.loss(share_of(learner, owner), batch, rng)
        return super().loss(learner, batch, rng)

    def penalties(self, learner: Learner, batch: Batch, output: Output, rng: Generator) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        for method in self.methods:
            terms |= method.penalties(share_of(learner, method), batch, output, rng)
        return terms

    def weigh(self, learner: Learner, batch: Batch, terms: Mapping[str, Tensor]) -> Tensor | None:
        found = [method.weigh(share_of(learner, method), batch, terms) for method in self.methods]
        weights = [weight for weight in found if weight is not None]
        return math.prod(weights[1:], start=weights[0]) if weights else None

    def optimizers(self, learner: Learner, training: Training) -> Sequence[Optimizer]:
        owner = self._owner("optimizers")
        if overrides(type(owner), "optimizers"):
            return owner.optimizers(share_of(learner, owner), training)
        return super().optimizers(learner, training)

    def predict(self, learner: Learner, image: Tensor) -> Tensor | SampledLogits:
        owner = self._owner("predict")
        return owner.predict(share_of(learner, owner), image)

    def notes(self, learner: Learner, validation: Mapping[str, Variant]) -> Notes:
        found = [method.notes(share_of(learner, method), validation) for method in self.methods]
        return Notes(
            {name: value for notes in found for name, value in notes.values.items()},
            {name: table for notes in found for name, table in notes.tables.items()},
        )

    def _owner(self, hook: str) -> Method:
        """The method that overrides an exclusive hook, or the first where none does."""
        return next((method for method in self.methods if overrides(type(method), hook)), self.methods[0])


def share_of(learner: Learner, method: Method) -> Learner:
    """The learner as one of the combined methods sees it: the common classifier and its own part."""
    return Learner(learner.classifier, learner.own.get_submodule(method.name()))


def part_of(method: Method, learner: Learner, kind: type[M]) -> tuple[M, Learner] | None:
    """A method, or the one of a combination, that is of this kind, and the learner as that one sees it; or None."""
    if isinstance(method, kind):
        return method, learner
    if isinstance(method, Combined):
        return next(((own, share_of(learner, own)) for own in method.methods if isinstance(own, kind)), None)
    return None


def overrides(kind: type[Method], hook: str) -> bool:
    """Return True if a method overrides a hook."""
    return getattr(kind, hook) is not getattr(Method, hook)


@cache
def combined(kinds: tuple[type[Method], ...]) -> type[Combined]:
    """The combination of two or more methods.

    Raises:
        SettingError: two of them have a field of the same name or override a hook that only one may own.
    """
    for one, other in combinations(kinds, 2):
        check_pair(one, other)
    body: dict[str, Any] = {"__annotations__": {}, "__module__": __name__, "__doc__": Combined.__doc__, "kinds": kinds}
    for kind in kinds:
        hints = get_type_hints(kind, include_extras=True)
        for field in dataclasses.fields(kind):  # type: ignore[arg-type]
            body["__annotations__"][field.name] = hints[field.name]
            body[field.name] = field.default
    for trait in ("differentiates_input", "needs_pixels", "needs_masks"):
        body[trait] = any(getattr(kind, trait) for kind in kinds)
    body["takes_steps"] = all(kind.takes_steps for kind in kinds)
    body["analyses"] = tuple(name for kind in kinds for name in kind.analyses)
    return component(type("Combined", (Combined,), body))


def check_pair(one: type[Method], other: type[Method]) -> None:
    """Check that two methods can be combined.

    Raises:
        SettingError: they cannot.
    """
    if one is other:
        raise SettingError(f"'{one.name()}' is named twice: name each method once")
    fields = sorted({*field_names(one)} & {*field_names(other)})
    if fields:
        raise SettingError(
            f"{one.name()} and {other.name()} both have the field '{fields[0]}': only one may own it; "
            "choose other methods"
        )
    hooks = [hook for hook in EXCLUSIVE if overrides(one, hook) and overrides(other, hook)]
    if hooks:
        raise SettingError(
            f"{one.name()} and {other.name()} both override '{hooks[0]}': only one may own it; choose other methods"
        )
    for owner, rest in ((one, other), (other, one)):
        if overrides(owner, "loss") and overrides(rest, "penalties"):
            raise SettingError(
                f"{owner.name()} has a loss of its own, and {rest.name()} adds to the common loss: choose other methods"
            )
        if overrides(owner, "view") and rest.needs_pixels:
            raise SettingError(
                f"{owner.name()} trains on features, and {rest.name()} needs pictures: choose other methods"
            )
        changed = [hook for hook in OF_STEPS if overrides(rest, hook)]
        if not owner.takes_steps and changed:
            raise SettingError(
                f"{owner.name()} takes no training steps, and {rest.name()} changes them (by '{changed[0]}'): "
                "choose other methods"
            )
