"""The Background Challenge: is a foreground answered rightly on every background there is?

A foreground is vulnerable if any background changes its answer. That is decided exactly: a robust foreground is seen
on all backgrounds, a vulnerable one until the first that fools it. What can be saved is the tries before that hit, so
the backgrounds that look most dangerous are tried first. What looks dangerous is learned from the answers so far, and
from answers on variants that put the same foregrounds on the same backgrounds, which are there anyway.
Source: K. Xiao et al., "Noise or Signal", 2020 (arXiv 2006.09994), section 5.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bgbias.data.dataset import ORIGINAL, Variant, batch_size
from bgbias.evaluation.accuracy import Predictions
from bgbias.evaluation.statistics import wilson_interval
from bgbias.methods.method import Method
from bgbias.randomness import stream

ROBUST = -1
LOOK_AHEAD = 8
"""How many backgrounds a foreground must have withstood for each that is chosen for it at once."""
CURIOSITY = 0.1
"""How much chance is in the order of tries, in units of the logits' spread; it falls as a background is tried."""
TELLING = 16
"""A foreground's tries beyond these are not learned from: they tell little more, and would fill the memory."""
FRONT_SHRINKAGE, EFFECT_SHRINKAGE, SWEEPS = 1.0, 2.0, 6
"""In answers: how many would have to speak against a foreground's being like its class, and a background's having no
effect, to outweigh that; and how often the two are fitted in turn."""


@dataclass(frozen=True)
class Verdict:
    """What is known of N foregrounds, all on the CPU.

    label:     [N] int64
    fooled_by: [N] int64, the first background found that changes the answer, or `ROBUST`
    answer:    [N] int64, the answer on it; the label where robust
    passes:    how many pictures were answered
    """

    label: Tensor
    fooled_by: Tensor
    answer: Tensor
    passes: int

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

    The order of tries rests on a guess, see `additive_fit`: the background with the least guessed margin comes next.
    """

    def __init__(self, method: Method, module: nn.Module, variant: Variant) -> None:
        self._method, self._module, self._variant = method, module.eval(), variant
        self._size = batch_size(variant)
        self.label = variant.foregrounds.label.cpu()
        n, m = len(variant), len(variant.backgrounds)
        outputs = self._answer(torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)).shape[1]
        self._tried = torch.zeros(n, m, dtype=torch.bool)
        self._fooled_by, self._wrong = torch.full((n,), ROBUST), self.label.clone()
        self._fronts, self._backs = torch.zeros(2, 0, dtype=torch.int64)
        self._logits = torch.zeros(0, outputs)

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
        return Verdict(self.label, self._fooled_by.clone(), self._wrong.clone(), int(self._tried.sum()))

    def round(self) -> None:
        """Try every undecided foreground on the backgrounds that look most dangerous for it."""
        m = self._tried.shape[1]
        front, effect = additive_fit(self.label, m, self._fronts, self._backs, self._logits)
        doubt = CURIOSITY * front.std() / (1 + torch.bincount(self._backs, minlength=m)).sqrt()
        for fronts in self.undecided.split(self._size):
            withstood = int(self._tried[fronts[0]].sum())
            chance = torch.randn(len(fronts), m, generator=stream(0, "challenge", withstood))
            danger = -margins(front[fronts], effect, self.label[fronts]) + doubt * chance
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
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on as if never stopped."""
        self._tried, self._fooled_by, self._wrong = state["tried"], state["fooled_by"], state["wrong"]
        self._fronts, self._backs, self._logits = state["fronts"], state["backs"], state["logits"]

    def _try(self, fronts: Tensor, backs: Tensor) -> None:
        """Answer the pairs ([P] int64 each) of foregrounds that nothing fooled yet, and note what they tell."""
        open_ = self._fooled_by[fronts] == ROBUST
        fronts, backs = fronts[open_], backs[open_]
        if not len(fronts):
            return
        logits = self._answer(fronts, backs)
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
        return self._method.predict(self._module, batch.image).float().cpu()


def challenge_of(
    method: Method, module: nn.Module, variants: Mapping[str, Variant], found: Mapping[str, Predictions]
) -> BackgroundChallenge:
    """The challenge of `original`'s foregrounds, which has heard what was answered on the split's other variants.

    Args:
        variants: of a split, by name; found: the predictions on them
    """
    original = variants[ORIGINAL]
    challenge = BackgroundChallenge(method, module, original)
    for name, variant in variants.items():
        backs = variant.assignment.cpu()
        same = len(variant) == len(original) and len(variant.backgrounds) == len(original.backgrounds)
        if same and (backs >= 0).all():
            challenge.hear(torch.arange(len(backs)), backs, found[name].logits)
    return challenge


def additive_fit(label: Tensor, m: int, fronts: Tensor, backs: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Logits(foreground, background) guessed as front(foreground) + effect(background), fitted to P answers.

    Ridge regression: a front is drawn to the mean of its class by `FRONT_SHRINKAGE`, an effect to 0 by
    `EFFECT_SHRINKAGE`; both are fitted in turn, `SWEEPS` times.

    Args:
        label: [N] int64; m: backgrounds; fronts, backs: [P] int64; logits: [P, K] float

    Returns:
        [N, K] fronts and [M, K] effects; of what was never answered, the mean of the class and 0.
    """
    n, k = len(label), logits.shape[1]
    classes = int(label.max()) + 1
    front, effect = torch.zeros(n, k), torch.zeros(m, k)
    asked, shown = (torch.bincount(index, minlength=size)[:, None] for index, size in ((fronts, n), (backs, m)))
    of_class = torch.bincount(label[fronts], minlength=classes)[:, None].clamp(min=1)
    for _ in range(SWEEPS):
        alone = logits - effect[backs]
        mean = torch.zeros(classes, k).index_add_(0, label[fronts], alone) / of_class
        summed = torch.zeros(n, k).index_add_(0, fronts, alone)
        front = (summed + FRONT_SHRINKAGE * mean[label]) / (asked + FRONT_SHRINKAGE)
        effect = torch.zeros(m, k).index_add_(0, backs, logits - front[fronts]) / (shown + EFFECT_SHRINKAGE)
    return front, effect


def margins(front: Tensor, effect: Tensor, label: Tensor) -> Tensor:
    """By how much the label's guessed logit exceeds the highest other: [P, M], of [P, K] fronts and [M, K] effects."""
    guess = front[:, None] + effect
    own = label[:, None, None].expand(-1, len(effect), 1)
    return guess.gather(2, own)[..., 0] - guess.scatter(2, own, -torch.inf).amax(dim=2)
