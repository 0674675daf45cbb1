"""The Background Challenge: is a foreground classified correctly on every background of the dataset?

A foreground is robust if no background makes its prediction wrong, vulnerable otherwise. The result is exact: a robust
foreground is evaluated on all backgrounds, a vulnerable one until the first background that fools it. Only the order
of the evaluations is estimated: backgrounds with the smallest estimated margin come first. The estimate is fitted to
the predictions so far and to those on variants with the same foregrounds and backgrounds; for foregrounds that
survive their first backgrounds it also uses gradients (`bgbias.evaluation.challenge_order`).

Source: K. Xiao et al., "Noise or Signal", 2020 (arXiv 2006.09994), section 5.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from bgbias.components import component
from bgbias.data.dataset import ORIGINAL, Variant, batch_size, spread
from bgbias.data.encoded import Encoded
from bgbias.evaluation.challenge_features import fit_on_disk, worst_on_features
from bgbias.evaluation.challenge_order import additive_fit, extrapolated, margins, slopes
from bgbias.evaluation.evaluator import Evaluator, Predictions, SplitResult
from bgbias.evaluation.saliency import images_in_a_pass
from bgbias.evaluation.statistics import wilson_interval
from bgbias.methods.frozen import encoder_of
from bgbias.methods.method import Learner, Method, logits_of
from bgbias.randomness import stream

CHALLENGE = "challenge"
"""The variant's name: every foreground on the background that fools it, if there is one."""
ROBUST = -1
"""Stands in `fooled_by` for "no background"."""
LOOK_AHEAD = 8
"""Backgrounds per round and foreground = backgrounds it survived so far / LOOK_AHEAD, at least 1."""
EXPLORATION = 0.1
"""Standard deviation of the random term in the order, relative to that of the fitted logits. It falls with the square
root of a background's evaluations, and is 0 for foregrounds with a gradient."""
LEARNED_TRIES = 16
"""The additive model is fitted to the first evaluations of each foreground only, to bound memory."""
GRADIENT_TRIES = range(3, 9)
"""Gradients are taken at these evaluations of a foreground, counted from 0. A gradient costs about two evaluations, so
it is taken only for foregrounds that survived the first ones."""
GRADIENT_SHARE = 20
"""Gradients are taken in the first 1/20 of the backgrounds only: with few backgrounds, evaluating all is cheaper."""


@dataclass(frozen=True)
class Verdict:
    """The result for N foregrounds, on the CPU.

    label:      [N] int64
    fooled_by:  [N] int64, the first background found with a wrong prediction, or `ROBUST`
    prediction: [N] int64, the prediction on that background; the label where robust
    passes:     the number of evaluated pairs
    gradients:  the number of pairs whose gradient was taken
    """

    label: Tensor
    fooled_by: Tensor
    prediction: Tensor
    passes: int
    gradients: int

    @property
    def robust(self) -> Tensor:
        """True where no background gives a wrong prediction, [N] bool."""
        return self.fooled_by == ROBUST

    @property
    def accuracy(self) -> float:
        """The share of robust foregrounds, in [0, 1]."""
        return self.robust.double().mean().item()

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        return wilson_interval(int(self.robust.sum()), len(self.robust))

    def class_accuracy(self, label: int) -> float:
        """The share of robust foregrounds of a class, in [0, 1]."""
        return self.robust[self.label == label].double().mean().item()

    def hits(self, backgrounds: int) -> Tensor:
        """The number of foregrounds that each background was the first found to fool, [M] int64."""
        return torch.bincount(self.fooled_by[~self.robust], minlength=backgrounds)

    def fewest_passes(self, backgrounds: int) -> int:
        """The smallest number of evaluations that proves this result: M per robust foreground, 1 per other one."""
        robust = int(self.robust.sum())
        return robust * backgrounds + len(self.robust) - robust


class BackgroundChallenge:
    """Search for a background that fools each foreground, one round at a time.

    The background with the smallest estimated margin comes next. The estimate is the mean of `additive_fit`'s and of
    `extrapolated`'s for each gradient taken.
    """

    def __init__(self, method: Method, learner: Learner, variant: Variant) -> None:
        """Start with every foreground undecided.

        Args:
            method: computes predictions.
            learner: is put into eval mode.
            variant: its N foregrounds are put on each of its M backgrounds; on the learner's device.
        """
        self._method, self._learner, self._variant = method, learner.eval(), variant
        self._size, self._gradient_batch_size = batch_size(variant), images_in_a_pass(variant.foregrounds.image)
        self.label = variant.foregrounds.label.cpu()
        n, m = len(variant), len(variant.backgrounds)
        outputs = self._predict(torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)).shape[1]
        self._tried = torch.zeros(n, m, dtype=torch.bool)
        self._fooled_by, self._wrong = torch.full((n,), ROBUST), self.label.clone()
        self._fronts, self._backs = torch.zeros(2, 0, dtype=torch.int64)
        self._logits = torch.zeros(0, outputs)
        self._extrapolated, self._gradients = torch.zeros(n, m), torch.zeros(n, dtype=torch.int64)

    def observe(self, fronts: Tensor, backs: Tensor, logits: Tensor) -> None:
        """Fit the order to logits of pairs, or of pictures like them. They do not count as evaluations.

        Args:
            fronts: [P] int64, foregrounds, on the CPU.
            backs: [P] int64, backgrounds, on the CPU.
            logits: [P, K] float, on the CPU.
        """
        self._fronts = torch.cat([self._fronts, fronts])
        self._backs = torch.cat([self._backs, backs])
        self._logits = torch.cat([self._logits, logits])

    @property
    def size(self) -> tuple[int, int]:
        """The numbers of foregrounds and backgrounds, (N, M)."""
        foregrounds, backgrounds = self._tried.shape
        return foregrounds, backgrounds

    @property
    def undecided(self) -> Tensor:
        """The foregrounds that no background has fooled so far and that have backgrounds left, [n] int64."""
        return ((self._fooled_by == ROBUST) & ~self._tried.all(dim=1)).nonzero()[:, 0]

    @property
    def share_done(self) -> float:
        """The share of pairs that are evaluated or need no evaluation, in [0, 1]."""
        return (self._tried | (self._fooled_by != ROBUST)[:, None]).double().mean().item()

    def verdict(self) -> Verdict:
        """The result so far; final once `undecided` is empty."""
        passes, gradients = int(self._tried.sum()), int(self._gradients.sum())
        return Verdict(self.label, self._fooled_by.clone(), self._wrong.clone(), passes, gradients)

    def round(self) -> None:
        """Evaluate every undecided foreground on the backgrounds with its smallest estimated margins."""
        # All undecided foregrounds were evaluated equally often, so `survived` is one number for all of them.
        m = self._tried.shape[1]
        front, effect = additive_fit(self.label, m, self._fronts, self._backs, self._logits)
        doubt = EXPLORATION * front.std() / (1 + torch.bincount(self._backs, minlength=m)).sqrt()
        for fronts in self.undecided.split(self._size):
            survived = int(self._tried[fronts[0]].sum())
            noise = torch.randn(len(fronts), m, generator=stream(0, "challenge", survived))
            guess, gradients = margins(front[fronts], effect, self.label[fronts]), self._gradients[fronts, None]
            guess = (guess + self._extrapolated[fronts]) / (1 + gradients)
            danger = (gradients == 0) * doubt * noise - guess
            danger = danger.masked_fill(self._tried[fronts], -torch.inf)
            chosen = danger.topk(max(1, min(m - survived, survived // LOOK_AHEAD))).indices
            for backs in chosen.T.split(max(1, self._size // len(fronts))):
                self._try(fronts.repeat(len(backs)), backs.flatten())

    def state(self) -> dict[str, Tensor]:
        """The state that `load_state` continues from."""
        return {
            "tried": self._tried,
            "fooled_by": self._fooled_by,
            "wrong": self._wrong,
            "fronts": self._fronts,
            "backs": self._backs,
            "logits": self._logits,
            "continued": self._extrapolated[self._with_gradient],
            "gradients": self._gradients,
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continue from a `state`; the result is the same as without the interruption."""
        self._tried, self._fooled_by, self._wrong = state["tried"], state["fooled_by"], state["wrong"]
        self._fronts, self._backs, self._logits = state["fronts"], state["backs"], state["logits"]
        self._gradients = state["gradients"]
        self._extrapolated.zero_()[self._with_gradient] = state["continued"]

    @property
    def _with_gradient(self) -> Tensor:
        """The undecided foregrounds with a gradient, [n] int64."""
        undecided = self.undecided
        return undecided[self._gradients[undecided] > 0]

    def _try(self, fronts: Tensor, backs: Tensor) -> None:
        """Evaluate P pairs ([P] int64 each), without those whose foreground is already fooled."""
        open_ = self._fooled_by[fronts] == ROBUST
        fronts, backs = fronts[open_], backs[open_]
        tries = self._tried[fronts].sum(dim=1)
        last = min(GRADIENT_TRIES.stop, self._tried.shape[1] // GRADIENT_SHARE)
        with_gradient = (tries >= GRADIENT_TRIES.start) & (tries < last)
        for pairs, prediction in ((~with_gradient, self._predict), (with_gradient, self._predict_and_extrapolate)):
            if pairs.any():
                self._note(fronts[pairs], backs[pairs], prediction(fronts[pairs], backs[pairs]))

    def _note(self, fronts: Tensor, backs: Tensor, logits: Tensor) -> None:
        """Record the logits [P, K] of pairs ([P] int64 each)."""
        informative = self._tried[fronts].sum(dim=1) < LEARNED_TRIES
        self.observe(fronts[informative], backs[informative], logits[informative])
        self._tried[fronts, backs] = True
        prediction = logits.argmax(dim=1)
        wrong = (prediction != self.label[fronts]).nonzero()[:, 0].flip(0)
        self._fooled_by[fronts[wrong]], self._wrong[fronts[wrong]] = backs[wrong], prediction[wrong]

    @torch.no_grad()
    def _predict(self, fronts: Tensor, backs: Tensor) -> Tensor:
        """Compute logits [P, K] of pairs ([P] int64 each), on the CPU."""
        device = self._variant.assignment.device
        batch = self._variant.batch(fronts.to(device), backs.to(device))
        return logits_of(self._method, self._learner, batch.image).float().cpu()

    def _predict_and_extrapolate(self, fronts: Tensor, backs: Tensor) -> Tensor:
        """Compute logits [P, K] of pairs, on the CPU; extrapolate the margins of correct ones to all backgrounds."""
        device, few = self._variant.assignment.device, self._gradient_batch_size
        parts = [
            slopes(self._method, self._learner, self._variant, some.to(device), behind.to(device))
            for some, behind in zip(fronts.split(few), backs.split(few), strict=True)
        ]
        logits = torch.cat([part[0] for part in parts]).cpu()
        slope, start = [part[1] for part in parts if part[1] is not None], torch.cat([part[2] for part in parts])
        if slope:
            right = (logits.argmax(dim=1) == self.label[fronts]).to(device)
            margin = extrapolated(self._variant, torch.cat(slope)[right], start[right])
            self._extrapolated.index_add_(0, fronts[right.cpu()], margin.cpu())
            self._gradients.index_add_(0, fronts, torch.ones_like(fronts))
        return logits


def challenge_of(
    method: Method, learner: Learner, variants: Mapping[str, Variant], found: Mapping[str, Predictions]
) -> BackgroundChallenge:
    """Set up the challenge of the foregrounds of `original`, ordered by the predictions on the split's variants.

    Args:
        method: computes predictions.
        learner: is put into eval mode.
        variants: of one split, by name.
        found: the predictions on each of these.
    """
    original = variants[ORIGINAL]
    challenge = BackgroundChallenge(method, learner, original)
    for name, variant in variants.items():
        backs = variant.assignment.cpu()
        same = len(variant) == len(original) and len(variant.backgrounds) == len(original.backgrounds)
        if same and (backs >= 0).all():
            challenge.observe(torch.arange(len(backs)), backs, found[name].logits)
    return challenge


def worst_predictions(challenge: BackgroundChallenge) -> Predictions:
    """Finish the challenge and return, for each foreground, a wrong prediction, or the label if there is none."""
    while len(challenge.undecided):
        challenge.round()
    verdict = challenge.verdict()
    return Predictions(verdict.label, verdict.prediction, loss=None)


def fewer_backgrounds(variant: Variant, count: int | None) -> Variant:
    """The variant with at most `count` backgrounds, evenly spread; None keeps all."""
    backgrounds = variant.backgrounds
    if count is None or count >= len(backgrounds):
        return variant
    index = spread(len(backgrounds), count).to(variant.assignment.device)
    return replace(variant, backgrounds=backgrounds.at(index))


@component
class Challenge(Evaluator):
    """Add the variant `challenge`, at the cost of at most one prediction per pair of foreground and background.

    With a frozen body, features of all pairs are computed once for all runs on the machine.

    backgrounds: >= 2, how many are tried, evenly spread; None for all
    """

    optional: ClassVar[bool] = True

    backgrounds: Annotated[int, Field(ge=2)] | None = None

    def variants(self, found: SplitResult) -> Mapping[str, Predictions]:
        original = found.variants.get(ORIGINAL)
        if original is None:
            return {}
        fewer = fewer_backgrounds(original.pictured(), self.backgrounds)
        if isinstance(original, Encoded) and fit_on_disk(fewer, original.features.shape[-1]):
            encode = encoder_of(found.learner.classifier, found.dataset)
            return {CHALLENGE: worst_on_features(found.method, found.learner, fewer, encode)}
        if self.backgrounds is None:
            challenge = challenge_of(found.method, found.learner, found.variants, found.predictions)
        else:
            challenge = BackgroundChallenge(found.method, found.learner, fewer)
        return {CHALLENGE: worst_predictions(challenge)}
