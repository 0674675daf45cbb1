import torch
from made_learners import batch_of, learner_of

from bgbias.methods.method import Output
from bgbias.methods.spectral_decoupling import SpectralDecoupling
from bgbias.randomness import stream


def test_the_penalty_by_hand():
    batch = batch_of(torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2, dtype=torch.bool))
    output = Output(torch.zeros(2, 4), torch.tensor([[1.0, -2.0, 3.0], [0.0, 0.5, 0.0]]))
    found = SpectralDecoupling(logit_weight=0.6).penalties(
        learner_of(torch.nn.Identity()), batch, output, stream(0, "draws")
    )
    torch.testing.assert_close(found["logits"], torch.tensor([0.3 * 14 / 3, 0.3 * 0.25 / 3]))


def test_the_penalty_alone_shrinks_the_logits():
    linear = torch.nn.Linear(3, 2)
    image = torch.rand(5, 3, generator=stream(0, "image"))
    batch = batch_of(image, torch.ones(5, 1, 1, 1, dtype=torch.bool))
    before = linear(image).square().mean().item()
    output = Output(image, linear(image))
    SpectralDecoupling().penalties(learner_of(linear), batch, output, stream(0, "draws"))["logits"].mean().backward()
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter -= parameter.grad
    assert linear(image).square().mean().item() < before
