"""Methods of the field, each in one small class: what the contract must make natural. They are for tests alone."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn

from bgbias.components import Count, NonNegative, Positive, Share, component
from bgbias.data.assignment import of_class
from bgbias.methods.method import Method, Notes, logits_of
from bgbias.table import Table


class Buffers(nn.Module):
    """Named tensors that are saved and resumed."""

    def __init__(self, **tensors):
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)


@component
class SmallLearnedP(Method):
    """A chance of replacement for each class, learned by the score function; its table goes to the report.

    rate: > 0, of the chances' logits
    """

    rate: Positive = 0.05

    def build(self, task, classifier):
        return nn.ParameterDict({"logit": nn.Parameter(torch.zeros(len(task.classes)))})

    def assign(self, learner, examples, rng):
        chance = learner.own["logit"].detach().sigmoid()[examples.label]
        replaced = torch.rand(len(examples), generator=rng, device=rng.device) < chance
        step = torch.randint(1, examples.backgrounds.places, (len(examples),), generator=rng, device=rng.device)
        other = (examples.label + step) % examples.backgrounds.places
        return torch.where(replaced, of_class(other, examples.backgrounds.place, rng), examples.background)

    def penalties(self, learner, batch, output, rng):
        logit = learner.own["logit"][batch.label]
        score = F.binary_cross_entropy_with_logits(logit, (batch.place != batch.label).float(), reduction="none")
        reward = F.nll_loss(output.log_probability, batch.label, reduction="none").detach()
        return {"score": score * (reward - reward.mean())}

    def optimizers(self, learner, training):
        own = torch.optim.SGD(learner.own.parameters(), lr=self.rate)
        return [training.make_optimizer(learner.classifier.parameters()), own]

    def notes(self, learner, validation):
        chance = learner.own["logit"].detach().sigmoid()
        names = tuple(map(str, range(len(chance))))
        return Notes({"mean_p": chance.mean().item()}, {"p": Table.of(chance[None], ("p",), names)})


@component
class SmallWorstOfK(Method):
    """Each example stands on the one of k random backgrounds that it is worst on (MaxUp, Gong et al., 2021).

    k: >= 1
    """

    k: Count = 4

    @torch.no_grad()
    def assign(self, learner, examples, rng):
        m = len(examples.backgrounds)
        drawn = torch.randint(m, (self.k, len(examples)), generator=rng, device=rng.device)
        losses = [
            F.cross_entropy(logits_of(self, learner, examples.on(behind).image), examples.label, reduction="none")
            for behind in drawn
        ]
        return drawn.gather(0, torch.stack(losses).argmax(dim=0)[None])[0]


@component
class SmallConsistency(Method):
    """Predictions on two backgrounds of one object must agree: squared difference of the logits.

    agreement: >= 0, weight of the penalty
    """

    agreement: NonNegative = 0.1

    def penalties(self, learner, batch, output, rng):
        other = batch.on(batch.background[torch.randperm(len(batch), generator=rng, device=rng.device)])
        difference = output.logits - learner.output(other.image).logits
        return {"consistency": self.agreement * difference.square().mean(dim=1)}


@component
class SmallNoise(Method):
    """Noise on the background: the cheap control for gradient penalties (CoRM, Singla et al., 2022).

    size: > 0, standard deviation, where 1 is full brightness
    """

    size: Positive = 0.2

    def augment(self, learner, batch, rng):
        noise = self.size * torch.randn(batch.image.shape, generator=rng, device=rng.device)
        return replace(batch, image=torch.where(batch.mask, batch.image, batch.image + noise))


@component
class SmallSmoothing(Method):
    """Cross-entropy with smoothed labels.

    smoothing: in [0, 1]
    """

    smoothing: Share = 0.1

    def loss(self, learner, batch, rng):
        logits = learner(batch.image)
        loss = F.cross_entropy(logits, batch.label, label_smoothing=self.smoothing, reduction="none")
        return {"cross_entropy": loss}


@component
class SmallLogitAdjustment(Method):
    """Predictions by logits minus the logarithm of the class's share in training (Menon et al., 2021).

    scale: >= 0
    """

    scale: NonNegative = 1.0

    def build(self, task, classifier):
        return Buffers(share=torch.ones(len(task.classes)))

    def enter(self, stage, learner, dataset, rng):
        count = torch.bincount(dataset.train.foregrounds.label, minlength=len(learner.own.share))
        learner.own.share.copy_(count / count.sum())

    def predict(self, learner, image):
        return learner(image) - self.scale * learner.own.share.log()
