"""Methods of the field, each in one small class: what the contract must make natural. They are for tests alone."""

import torch
import torch.nn.functional as F
from torch import nn

from bgbias.components import NonNegative, Share, component
from bgbias.methods.method import Method


class Buffers(nn.Module):
    """Named tensors that are saved and resumed."""

    def __init__(self, **tensors):
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)


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
