"""Small networks and minibatches for proxies, and what a proxy may not change."""

import torch
from torch import nn

from foresight_ext.images.batches import Batch
from foresight_ext.measures import PROXIES
from foresight_ext.measures.layers import LayerProxy, total


def images(seed, batch, size=16):
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


def minibatch(seed, batch, size=16):
    return Batch(images(seed, batch, size), torch.arange(batch) % 10, seed)


def plain_network(batch_norms=True):
    """The golden values' network of two convolutions."""
    layers = [nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    layers += [nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU()]
    layers = [layer for layer in layers if batch_norms or not isinstance(layer, nn.BatchNorm2d)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


def value(name, network, batch):
    """A proxy as Zero-Cost-NAS counts: a layer proxy's raw sum."""
    proxy = PROXIES.get(name)
    if isinstance(proxy, LayerProxy):
        return float(total(proxy.arrays(network, batch)))
    return proxy.score(network, batch)


def snapshot(network):
    """All that a proxy may not change, as values that can be compared."""
    tensors = [(name, id(p), p.requires_grad) for name, p in network.named_parameters()]
    values = [value.clone() for value in network.state_dict().values()]
    values += [p.grad.clone() for p in network.parameters() if p.grad is not None]
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in network.modules()]
    modes = [module.training for module in network.modules()]
    forwards = [module.__dict__.get("forward") for module in network.modules()]
    return tensors, hooks, modes, forwards, values


def assert_same(before, after):
    assert before[:-1] == after[:-1]
    assert len(before[-1]) == len(after[-1])
    assert all(torch.equal(*pair) for pair in zip(before[-1], after[-1]))


def used(network):
    """A network with some of everything: gradients, a frozen weight, modes that differ, a hook."""
    network.train()
    output = network(images(5, 4))
    (output[0] if isinstance(output, tuple) else output).sum().backward()
    next(network.parameters()).requires_grad_(False)
    list(network.modules())[-2].eval()
    network.register_forward_hook(lambda module, inputs, output: None)
    return network
