"""The Background Challenge: is a foreground answered rightly on every background there is?

A foreground is vulnerable if any background changes its answer. That is decided exactly: a robust foreground is seen
on all backgrounds, a vulnerable one until the first that fools it. What can be saved is the tries before that hit, so
the backgrounds that look most dangerous are tried first. What looks dangerous is learned from the answers so far, and
from answers on variants that put the same foregrounds on the same backgrounds, which are there anyway; and of the few
foregrounds that withstand the first tries, where there are many backgrounds, from the gradients of their next ones.
Source: K. Xiao et al., "Noise or Signal", 2020 (arXiv 2006.09994), section 5.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bgbias.components import component
from bgbias.data.dataset import ORIGINAL, Variant, batch_size
from bgbias.evaluation.challenge_order import additive_fit, continued, margins, slopes
from bgbias.evaluation.evaluator import Evaluator, Predictions, SplitResult
from bgbias.evaluation.saliency import images_in_a_pass
from bgbias.evaluation.statistics import wilson_interval
from bgbias.methods.method import Learner, Method, logits_of
from bgbias.randomness import stream

CHALLENGE = "challenge"
"""The variant that stands for the Background Challenge: every foreground on the background that fools it, if any."""
ROBUST = -1
LOOK_AHEAD = 8
"""How many backgrounds a foreground must have withstood for each that is chosen for it at once."""
CURIOSITY = 0.1
"""How much chance is in the order of tries, in units of the logits' spread; it falls as a background is tried, and
foregrounds whose gradient is known have none."""
TELLING = 16
"""A foreground's tries beyond these are not learned from: they tell little more, and would fill the memory."""
STEEP = range(3, 9)
"""At which of a foreground's tries, counted from 0, the gradient is taken too. That costs about two answers each time,
and a look at all backgrounds for each batch of them, so it is for those that the first tries did not decide."""
STEEP_SHARE = 20
"""And for the first 1/20 of the backgrounds alone: of ten, all may as well be tried."""


@dataclass(frozen=True)
class Verdict:
    """What is known of N foregrounds, all on the CPU.

    label:     [N] int64
    fooled_by: [N] int64, the first background found that changes the answer, or `ROBUST`
    answer:    [N] int64, the answer on it; the label where robust
    passes:    how many pictures were answered
    gradients: of how many of these the gradient was taken too
    """

    label: Tensor
    fooled_by: Tensor
    answer: Tensor
    passes: int
    gradients: int

    @property
    def robust(self) -> Tensor:
        """[N] bool."""
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
        """[M] int64: how many foregrounds each background was the first found to fool."""
        return torch.bincount(self.fooled_by[~self.robust], minlength=backgrounds)

    def fewest_passes(self, backgrounds: int) -> int:
        """How few answers could prove this: all of a robust foreground's, one of every other's."""
        robust = int(self.robust.sum())
        return robust * backgrounds + len(self.robust) - robust


class BackgroundChallenge:
    """Finds a background that fools each foreground, or that there is none, a round at a time.

    variant: its N foregrounds are put on each of its M backgrounds; lies on the module's device

    The background with the least guessed margin comes next. The guess is the mean of `additive_fit`'s and of what is
    `continued` from each try whose gradient was taken.
    """

    def __init__(self, method: Method, learner: Learner, variant: Variant) -> None:
        self._method, self._learner, self._variant = method, learner.eval(), variant
        self._size, self._steep_size = batch_size(variant), images_in_a_pass(variant.foregrounds.image)
        self.label = variant.foregrounds.label.cpu()
        n, m = len(variant), len(variant.backgrounds)
        outputs = self._answer(torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)).shape[1]
        self._tried = torch.zeros(n, m, dtype=torch.bool)
        self._fooled_by, self._wrong = torch.full((n,), ROBUST), self.label.clone()
        self._fronts, self._backs = torch.zeros(2, 0, dtype=torch.int64)
        self._logits = torch.zeros(0, outputs)
        self._continued, self._gradients = torch.zeros(n, m), torch.zeros(n, dtype=torch.int64)

    def hear(self, fronts: Tensor, backs: Tensor, logits: Tensor) -> None:
        """Learn what to try first from answers on pairs, or on pictures much like them. They decide nothing.

        Args:
            fronts, backs: [P] int64; logits: [P, K] float; all on the CPU
        """
        self._fronts = torch.cat([self._fronts, fronts])
        self._backs = torch.cat([self._backs, backs])
        self._logits = torch.cat([self._logits, logits])

    @property
    def undecided(self) -> Tensor:
        """[n] int64: the foregrounds that nothing fooled so far and that are not seen on everything yet."""
        return ((self._fooled_by == ROBUST) & ~self._tried.all(dim=1)).nonzero()[:, 0]

    @property
    def share_done(self) -> float:
        """The share of pairs that are answered or need no answer any more, in [0, 1]."""
        return (self._tried | (self._fooled_by != ROBUST)[:, None]).double().mean().item()

    def verdict(self) -> Verdict:
        """What was found; final once nothing is undecided."""
        passes, gradients = int(self._tried.sum()), int(self._gradients.sum())
        return Verdict(self.label, self._fooled_by.clone(), self._wrong.clone(), passes, gradients)

    def round(self) -> None:
        """Try every undecided foreground on the backgrounds that look most dangerous for it."""
        m = self._tried.shape[1]
        front, effect = additive_fit(self.label, m, self._fronts, self._backs, self._logits)
        doubt = CURIOSITY * front.std() / (1 + torch.bincount(self._backs, minlength=m)).sqrt()
        for fronts in self.undecided.split(self._size):
            withstood = int(self._tried[fronts[0]].sum())
            chance = torch.randn(len(fronts), m, generator=stream(0, "challenge", withstood))
            guess, gradients = margins(front[fronts], effect, self.label[fronts]), self._gradients[fronts, None]
            guess = (guess + self._continued[fronts]) / (1 + gradients)
            danger = (gradients == 0) * doubt * chance - guess
            danger = danger.masked_fill(self._tried[fronts], -torch.inf)
            chosen = danger.topk(max(1, min(m - withstood, withstood // LOOK_AHEAD))).indices
            for backs in chosen.T.split(max(1, self._size // len(fronts))):
                self._try(fronts.repeat(len(backs)), backs.flatten())

    def state(self) -> dict[str, Tensor]:
        """All that `load_state` needs to go on."""
        return {
            "tried": self._tried,
            "fooled_by": self._fooled_by,
            "wrong": self._wrong,
            "fronts": self._fronts,
            "backs": self._backs,
            "logits": self._logits,
            "continued": self._continued[self._steep],
            "gradients": self._gradients,
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on as if never stopped."""
        self._tried, self._fooled_by, self._wrong = state["tried"], state["fooled_by"], state["wrong"]
        self._fronts, self._backs, self._logits = state["fronts"], state["backs"], state["logits"]
        self._gradients = state["gradients"]
        self._continued.zero_()[self._steep] = state["continued"]

    @property
    def _steep(self) -> Tensor:
        """[n] int64: the undecided foregrounds that gradients were taken of."""
        undecided = self.undecided
        return undecided[self._gradients[undecided] > 0]

    def _try(self, fronts: Tensor, backs: Tensor) -> None:
        """Answer the pairs ([P] int64 each) of foregrounds that nothing fooled yet, and note what they tell."""
        open_ = self._fooled_by[fronts] == ROBUST
        fronts, backs = fronts[open_], backs[open_]
        tries = self._tried[fronts].sum(dim=1)
        last = min(STEEP.stop, self._tried.shape[1] // STEEP_SHARE)
        steep = (tries >= STEEP.start) & (tries < last)
        for pairs, answer in ((~steep, self._answer), (steep, self._answer_and_continue)):
            if pairs.any():
                self._note(fronts[pairs], backs[pairs], answer(fronts[pairs], backs[pairs]))

    def _note(self, fronts: Tensor, backs: Tensor, logits: Tensor) -> None:
        """Pairs ([P] int64 each) were answered with logits [P, K]."""
        telling = self._tried[fronts].sum(dim=1) < TELLING
        self.hear(fronts[telling], backs[telling], logits[telling])
        self._tried[fronts, backs] = True
        answer = logits.argmax(dim=1)
        wrong = (answer != self.label[fronts]).nonzero()[:, 0].flip(0)
        self._fooled_by[fronts[wrong]], self._wrong[fronts[wrong]] = backs[wrong], answer[wrong]

    @torch.no_grad()
    def _answer(self, fronts: Tensor, backs: Tensor) -> Tensor:
        """Logits [P, K] of pairs, on the CPU."""
        device = self._variant.assignment.device
        batch = self._variant.batch(fronts.to(device), backs.to(device))
        return logits_of(self._method, self._learner, batch.image).float().cpu()

    def _answer_and_continue(self, fronts: Tensor, backs: Tensor) -> Tensor:
        """Logits [P, K] of pairs, on the CPU; of those that are right, what follows for other backgrounds is kept."""
        device, few = self._variant.assignment.device, self._steep_size
        parts = [
            slopes(self._method, self._learner, self._variant, some.to(device), behind.to(device))
            for some, behind in zip(fronts.split(few), backs.split(few), strict=True)
        ]
        logits = torch.cat([part[0] for part in parts]).cpu()
        slope, start = [part[1] for part in parts if part[1] is not None], torch.cat([part[2] for part in parts])
        if slope:
            right = (logits.argmax(dim=1) == self.label[fronts]).to(device)
            margin = continued(self._variant, torch.cat(slope)[right], start[right])
            self._continued.index_add_(0, fronts[right.cpu()], margin.cpu())
            self._gradients.index_add_(0, fronts, torch.ones_like(fronts))
        return logits


def challenge_of(
    method: Method, learner: Learner, variants: Mapping[str, Variant], found: Mapping[str, Predictions]
) -> BackgroundChallenge:
    """The challenge of `original`'s foregrounds, which has heard what was answered on the split's other variants.

    Args:
        variants: of a split, by name; found: the predictions on them
    """
    original = variants[ORIGINAL]
    challenge = BackgroundChallenge(method, learner, original)
    for name, variant in variants.items():
        backs = variant.assignment.cpu()
        same = len(variant) == len(original) and len(variant.backgrounds) == len(original.backgrounds)
        if same and (backs >= 0).all():
            challenge.hear(torch.arange(len(backs)), backs, found[name].logits)
    return challenge


def worst_answers(challenge: BackgroundChallenge) -> Predictions:
    """For each foreground a wrong answer that some background provokes, or the right one if none does."""
    while len(challenge.undecided):
        challenge.round()
    verdict = challenge.verdict()
    return Predictions(verdict.label, verdict.answer, loss=None)


@component
class Challenge(Evaluator):
    """One more variant, `challenge`; it costs up to one prediction for each pair of foreground and background."""

    optional: ClassVar[bool] = True

    def variants(self, found: SplitResult) -> Mapping[str, Predictions]:
        if ORIGINAL not in found.variants:
            return {}
        challenge = challenge_of(found.method, found.learner, found.variants, found.predictions)
        return {CHALLENGE: worst_answers(challenge)}
