"""Flow-based background embedding manipulation: predict the object's class on every background, and let these vote.

An embedding is learned from a frozen backbone's features. A conditional flow models how the embedding of an object
changes when its background is replaced by one of a class. A prediction samples embeddings for all background classes,
classifies each, and takes a vote.

In the 2022 study the flow's training moves start from the object's own background only. A test image may have any
background, so here moves start from every background that an object is composed with.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Generator, Tensor

from bgbias.components import Count, NonNegative, Positive, Share, component
from bgbias.data.dataset import Dataset, Variant, batches
from bgbias.data.encoded import encoded_dataset
from bgbias.methods.flow.families import build_flow, flow_families
from bgbias.methods.flow.module import FlowModule
from bgbias.methods.flow.votes import Tally, Vote
from bgbias.methods.frozen import encoder_of
from bgbias.methods.method import CROSS_ENTROPY, Learner, Method, Notes, SampledLogits, Stage, own_of
from bgbias.models.model import Classifier
from bgbias.randomness import stream
from bgbias.types import Batch, Examples, Task

NEGATIVE_LOG_LIKELIHOOD = "negative_log_likelihood"
VOTE_CROSS_ENTROPY = "vote_cross_entropy"
SAMPLES = "samples"
ROWS = 1 << 14
"""Embeddings sampled at a time."""
NOISE_BLOCK = 64
"""Samples whose noise is drawn at a time."""


@component
class FlowEmbedding(Method):
    """Cross-entropy and a flow's likelihood on the embeddings of own and swapped backgrounds.

    The loss is the cross-entropy, minus `likelihood_weight` times the flow's log-likelihood of the swapped embeddings
    in nats per dimension, plus the cross-entropy of a vote.

    backbone: source of the frozen backbone's weights: a method's name, which trains it; a checkpoint's folder; or
        `none` for the model's initial weights (`model/weights`)
    backbone_epochs: >= 1, epochs of the method that trains the backbone
    swaps: >= 1, the number of random backgrounds on which each training object is encoded, in addition to its own
    width: >= 2, dimensions of the embedding
    hidden: >= 1, units of the embedding's first layer
    family: affine_coupling, masked_autoregressive or spline_coupling
    depth: >= 1, layers of the flow
    flow_hidden: >= 1, units of the networks inside these layers
    own_weight: in [0, 1], weight of the cross-entropy on the own background; the swapped ones share the rest. Also
        the probability that a vote in training starts from the own embedding
    likelihood_weight: >= 0, weight of the log-likelihood; the 2022 study's is 5e-5 per nat, not per dimension
    faithful: True if only the likelihood trains the flow. Otherwise the vote trains it too: then its samples vote
        better, but are farther from true embeddings, and its likelihood is worse
    vote_weight: >= 0, weight of the cross-entropy of a vote of one sample for each background class
    settling: in [0, 1), the share of the epochs, at the end, in which the embedding is frozen, so that the flow models
        moves that no longer change
    vote: `majority`, `mean_probability` or `reproduced` (`bgbias.methods.flow.votes`)
    max_samples: >= 1, a power of two; before each evaluation the number of samples is chosen among 0, 1, 2, 4, ... up
        to it, by the mean accuracy on validation variants with pasted backgrounds; the smaller number wins a tie
    temperature: > 0, factor of the noise in sampling

    Supervision: mask, background
    Cost: that of the backbone, and little beside it, since features are computed once
    Source: "Mitigating image background bias in DNN" (2022), flow-based background embedding manipulation.
    """

    needs_pixels: ClassVar[bool] = True
    needs_masks: ClassVar[bool] = True
    analyses: ClassVar[tuple[str, ...]] = ("flow",)

    backbone: str | None = "dynamic_replacement"
    backbone_epochs: Count = 10
    swaps: Count = 4
    width: Annotated[int, Field(ge=2)] = 32
    hidden: Count = 256
    family: str = "affine_coupling"
    depth: Count = 4
    flow_hidden: Count = 64
    own_weight: Share = 0.5
    likelihood_weight: NonNegative = 0.01
    faithful: bool = True
    vote_weight: NonNegative = 0.5
    settling: Annotated[float, Field(ge=0, lt=1)] = 0.25
    vote: Vote = "majority"
    max_samples: Count = 32
    temperature: Positive = 1.0

    @field_validator("family")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in flow_families:
            raise ValueError(f"must be one of {', '.join(flow_families)}")
        return name

    @field_validator("max_samples")
    @classmethod
    def _power_of_two(cls, samples: int) -> int:
        if samples & (samples - 1):
            raise ValueError("must be a power of two")
        return samples

    def stages(self, epochs: int) -> Sequence[Stage]:
        moving = math.ceil((1 - self.settling) * epochs)
        settled = [Stage(epochs - moving, same_view=True)] if moving < epochs else []
        backbone = [Stage(self.backbone_epochs, by=self.backbone)] if self.backbone else []
        return [*backbone, Stage(moving), *settled]

    def build(self, task: Task, classifier: Classifier) -> FlowModule:
        classifier.requires_grad_(False)
        places = len(task.places) - 1
        flow = build_flow(self.family, self.width, self.width + places, self.depth, self.flow_hidden)
        features = classifier.linear.in_features
        return FlowModule(features, len(task.classes), places, self.width, self.hidden, flow)

    def enter(self, stage: int, learner: Learner, dataset: Dataset, rng: Generator) -> None:
        own_of(learner, FlowModule).embedding_frozen.fill_(stage > int(self.backbone is not None))

    @torch.no_grad()
    def view(self, stage: int, learner: Learner, dataset: Dataset, rng: Generator) -> Dataset:
        return encoded_dataset(dataset, self.swaps, encoder_of(learner.classifier, dataset), rng)

    def assign(self, learner: Learner, examples: Examples, rng: Generator) -> Tensor:
        """Each example stands on its own background and the swapped ones: [B, 1 + n] int64."""
        return examples.background

    def loss(self, learner: Learner, batch: Batch, rng: Generator) -> dict[str, Tensor]:
        own = own_of(learner, FlowModule)
        copies = batch.image.shape[1]
        embedding = own.embed(batch.image.flatten(0, 1))
        start = embedding.unflatten(0, (-1, copies))
        step = int(torch.randint(1, copies, (), generator=rng, device=rng.device))
        moved, places = start.roll(step, dims=1).flatten(0, 1), batch.place.roll(step, dims=1).flatten()
        log_likelihood = own.log_density(embedding, moved, places).mean() / self.width
        return {
            CROSS_ENTROPY: weighted_cross_entropy(own.logits(embedding), batch.label, self.own_weight),
            NEGATIVE_LOG_LIKELIHOOD: -self.likelihood_weight * log_likelihood,
            VOTE_CROSS_ENTROPY: self.vote_weight * self.vote_cross_entropy(own, start, batch.label, rng),
        }

    def vote_cross_entropy(self, module: FlowModule, start: Tensor, label: Tensor, generator: Generator) -> Tensor:
        """Compute the cross-entropy of the mean probability of one sample for each background class.

        Args:
            module: embeds, samples and classifies.
            start: [B, 1 + n, E] embeddings. The samples of an example start at its own one with probability
                `own_weight`, otherwise at one of the n others.
            label: [B] int64.
            generator: of the samples.
        """
        n, copies = start.shape[:2]
        draw = torch.rand(n, generator=generator, device=generator.device)
        other = torch.randint(1, copies, (n,), generator=generator, device=generator.device)
        first = start[torch.arange(n, device=start.device), torch.where(draw < self.own_weight, 0, other)]
        places = torch.arange(module.places, device=start.device).repeat(n)
        noise = torch.randn(len(places), self.width, generator=generator, device=generator.device)
        start, noise = first.repeat_interleave(module.places, 0), self.temperature * noise
        moved = module.moved(start, noise, places, fixed_flow=self.faithful)
        log_probability = F.log_softmax(module.logits(moved), dim=1).view(n, module.places, -1)
        return F.nll_loss(log_probability.logsumexp(dim=1) - math.log(module.places), label)

    def predict(self, learner: Learner, image: Tensor) -> SampledLogits:
        own, features = own_of(learner, FlowModule), features_of(learner, image)
        found = {0: own.logits(own.embed(features)).double()}
        tallies, samples = self.tallies(own, features, self.max_samples), int(own.samples)
        while samples not in found:
            tally = next(tallies)
            found[tally.count] = tally.logits(self.vote)
        return SampledLogits(
            found[samples], lambda: found | {tally.count: tally.logits(self.vote) for tally in tallies}
        )

    def tallies(self, module: FlowModule, features: Tensor, samples: int) -> Iterator[Tally]:
        """Yield one growing tally of all images when it holds 1, 2, 4, ... up to `samples` samples.

        Args:
            module: embeds, samples and classifies.
            features: [B, F] of the frozen classifier.
            samples: a power of two.
        """
        start = module.embed(features)
        tally = Tally(len(start), module.classifier.out_features, start.device)
        noise = self.temperature * sampling_noise(samples, self.width).to(start)
        classes = sampling_classes(samples, module.places).to(start.device)
        rows = max(1, ROWS // len(start))
        while tally.count < samples:
            ahead = slice(tally.count, min(1 << tally.count.bit_length(), tally.count + rows))
            tally.add(self.sampled_probability(module, start, noise[ahead], classes[ahead]))
            if tally.count & (tally.count - 1) == 0:
                yield tally

    def sampled_probability(self, module: FlowModule, start: Tensor, noise: Tensor, classes: Tensor) -> Tensor:
        """Compute probabilities [B, s, K] of samples around embeddings [B, E], from noise [s, E] and classes [s]."""
        n, samples = len(start), len(noise)
        moved = module.moved(start.repeat_interleave(samples, 0), noise.repeat(n, 1), classes.repeat(n))
        return module.logits(moved).softmax(dim=1).view(n, samples, -1)

    @torch.no_grad()
    def notes(self, learner: Learner, validation: Mapping[str, Variant]) -> Notes:
        own = own_of(learner.eval(), FlowModule)
        pasted = [variant for variant in validation.values() if (variant.assignment >= 0).any()]
        accuracy: dict[int, float] = {0: 0.0}
        for variant in pasted:
            label = variant.foregrounds.label
            for index in batches(variant):
                for samples, logits in self.predict(learner, variant.batch(index).image).by_samples().items():
                    right = (logits.argmax(dim=1) == label[index]).sum().item()
                    accuracy[samples] = accuracy.get(samples, 0.0) + right / len(variant)
        best = max(accuracy, key=lambda samples: (accuracy[samples], -samples))
        own.samples.fill_(best)
        return Notes({SAMPLES: float(best)})


def weighted_cross_entropy(logits: Tensor, label: Tensor, own_weight: float) -> Tensor:
    """Compute own_weight * cross-entropy on own backgrounds + (1 - own_weight) * cross-entropy on swapped ones.

    Args:
        logits: [B (1 + n), K], each example's own first, then its n >= 1 copies.
        label: [B] int64.
        own_weight: in [0, 1].
    """
    copies = len(logits) // len(label)
    loss = F.cross_entropy(logits, label.repeat_interleave(copies), reduction="none").view(-1, copies)
    return own_weight * loss[:, 0].mean() + (1 - own_weight) * loss[:, 1:].mean()


def features_of(learner: Learner, image: Tensor) -> Tensor:
    """Compute the frozen classifier's features [B, F] float32 of images [B, C, H, W]; features stay as given."""
    return learner.classifier.features(image).float()


def sampling_noise(samples: int, width: int) -> Tensor:
    """Standard normal noise [samples, width], the same for every image; the first rows of more are the same."""
    blocks = range(-(-samples // NOISE_BLOCK))
    drawn = [torch.randn(NOISE_BLOCK, width, generator=stream(0, "flow noise", block)) for block in blocks]
    return torch.cat(drawn)[:samples]


def sampling_classes(samples: int, classes: int) -> Tensor:
    """The background class of each sample, [samples] int64: every class once in random order, again and again."""
    rounds = range(-(-samples // classes))
    return torch.cat([torch.randperm(classes, generator=stream(0, "flow classes", r)) for r in rounds])[:samples]
