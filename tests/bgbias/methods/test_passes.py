"""Further passes leave the classifier as it was."""

import copy

import torch
from torch import nn

from bgbias.methods.passes import evaluating, fixed_statistics


def network():
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Dropout(0.5)).train()


def test_evaluating_restores_the_mode_of_every_part():
    net = network()
    net[2].eval()
    with evaluating(net):
        assert not any(part.training for part in net.modules())
    assert [part.training for part in net.modules()] == [True, True, True, False]


def test_fixed_statistics_use_the_batch_and_leave_the_running_ones():
    net = network().requires_grad_(False)
    net[2].eval()
    before, image = copy.deepcopy(net.state_dict()), torch.rand(8, 1, 3, 3) + 5
    with fixed_statistics(net):
        found = net(image)
    torch.testing.assert_close(dict(net.state_dict()), dict(before))
    torch.testing.assert_close(found.mean(dim=(0, 2, 3)), torch.zeros(2), atol=1e-4, rtol=0)
    assert net[1].track_running_stats
    net(image)
    assert not torch.equal(net[1].running_mean, before["1.running_mean"])
