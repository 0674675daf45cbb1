"""The Background Challenge: is a foreground answered rightly on every background there is?

A foreground is vulnerable if any background changes its answer. That is decided exactly: a robust foreground is seen
on all backgrounds, a vulnerable one until the first that fools it. What can be saved is the tries before that hit, so
the backgrounds that look most dangerous are tried first.
Source: K. Xiao et al., "Noise or Signal", 2020 (arXiv 2006.09994), section 5.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bgbias.data.dataset import Variant, batch_size
from bgbias.evaluation.statistics import wilson_interval
from bgbias.methods.method import Method
from bgbias.randomness import stream

ROBUST = -1
LOOK_AHEAD = 8
"""How many backgrounds a foreground must have withstood for each that is chosen for it at once."""
CURIOSITY = 0.3
"""How much chance is in the order of tries, in units of the logits' spread; it falls as a background is tried."""


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

    The order of tries rests on a guess: logits(foreground, background) = front(foreground) + effect(background). Both
    are running means over what was answered so far, and the background with the least guessed margin comes next.
    """

    def __init__(self, method: Method, module: nn.Module, variant: Variant) -> None:
        self._method, self._module, self._variant = method, module.eval(), variant
        self._size = batch_size(variant)
        self.label = variant.foregrounds.label.cpu()
        n, m = len(variant), len(variant.backgrounds)
        outputs = self._answer(torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)).shape[1]
        self._tried = torch.zeros(n, m, dtype=torch.bool)
        self._fooled_by, self._wrong = torch.full((n,), ROBUST), self.label.clone()
        self._front, self._effect = RunningMean(n, outputs), RunningMean(m, outputs)

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
        for fronts in self.undecided.split(self._size):
            withstood = int(self._tried[fronts[0]].sum())
            left = self._tried.shape[1] - withstood
            chance = torch.randn(len(fronts), len(self._effect.count), generator=stream(0, "challenge", withstood))
            danger = self._danger(fronts) + self._doubt() * chance
            chosen = danger.topk(max(1, min(left, withstood // LOOK_AHEAD))).indices
            for backs in chosen.T.split(max(1, self._size // len(fronts))):
                self._try(fronts.repeat(len(backs)), backs.flatten())

    def state(self) -> dict[str, Tensor]:
        """All that `load_state` needs to go on."""
        return {
            "tried": self._tried,
            "fooled_by": self._fooled_by,
            "wrong": self._wrong,
            **{f"front_{name}": value for name, value in vars(self._front).items()},
            **{f"effect_{name}": value for name, value in vars(self._effect).items()},
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on as if never stopped."""
        self._tried, self._fooled_by, self._wrong = state["tried"], state["fooled_by"], state["wrong"]
        for prefix, means in (("front", self._front), ("effect", self._effect)):
            means.total, means.count = state[f"{prefix}_total"], state[f"{prefix}_count"]

    def _danger(self, fronts: Tensor) -> Tensor:
        """How dangerous each background looks for these foregrounds ([P] int64): [P, M], -inf where it was tried."""
        guess = self._front.mean()[fronts][:, None] + self._effects()
        own = self.label[fronts][:, None, None].expand(-1, self._tried.shape[1], 1)
        margin = guess.gather(2, own)[..., 0] - guess.scatter(2, own, -torch.inf).amax(dim=2)
        return (-margin).masked_fill(self._tried[fronts], -torch.inf)

    def _doubt(self) -> Tensor:
        """How little is known of each background's effect: [M], in logits."""
        known = self._front.mean()[self._front.count[:, 0] > 0]
        spread = known.std() if len(known) else torch.ones(())
        return CURIOSITY * spread / (1 + self._effect.count[:, 0]).sqrt()

    def _effects(self) -> Tensor:
        effect = self._effect.mean(zeros=1)
        return effect - effect.mean(dim=0)

    def _try(self, fronts: Tensor, backs: Tensor) -> None:
        """Answer the pairs ([P] int64 each) of foregrounds that nothing fooled yet, and note what they tell."""
        open_ = self._fooled_by[fronts] == ROBUST
        fronts, backs = fronts[open_], backs[open_]
        if not len(fronts):
            return
        logits = self._answer(fronts, backs)
        answer, effect = logits.argmax(dim=1), self._effects()
        own = torch.where(self._front.count[fronts] > 0, self._front.mean()[fronts], logits - effect[backs])
        self._effect.add(backs, logits - own)
        self._front.add(fronts, logits - effect[backs])
        self._tried[fronts, backs] = True
        wrong = (answer != self.label[fronts]).nonzero()[:, 0].flip(0)
        self._fooled_by[fronts[wrong]], self._wrong[fronts[wrong]] = backs[wrong], answer[wrong]

    @torch.no_grad()
    def _answer(self, fronts: Tensor, backs: Tensor) -> Tensor:
        """Logits [P, K] of pairs, on the CPU."""
        device = self._variant.assignment.device
        batch = self._variant.batch(fronts.to(device), backs.to(device))
        return self._method.predict(self._module, batch.image).float().cpu()


class RunningMean:
    """Means of rows that come one by one.

    total: [R, K]; count: [R, 1]
    """

    def __init__(self, rows: int, width: int) -> None:
        self.total, self.count = torch.zeros(rows, width), torch.zeros(rows, 1)

    def add(self, row: Tensor, value: Tensor) -> None:
        """Count [P, K] values into rows [P] int64."""
        self.total.index_add_(0, row, value)
        self.count.index_add_(0, row, torch.ones(len(row), 1))

    def mean(self, zeros: int = 0) -> Tensor:
        """[R, K], as if each row had begun with so many zeros; a row without any is 0."""
        return self.total / (self.count + zeros).clamp(min=1)
