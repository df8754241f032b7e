"""Networks of kinds that somebody may have, images for them, and what find_measures makes of them."""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from foresight_ext import find_measures
from tests.networks import minibatch, plain_network


class Network(nn.Module):
    """Some parts, and a function of them and the images."""

    def __init__(self, forward, **parts):
        super().__init__()
        self._of = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self._of(self, x)


def pairs(inputs=None, labels=None):
    batch = minibatch(6, 8)
    return [(batch.inputs if inputs is None else inputs, batch.targets if labels is None else labels)]


def found(network, names, data=None, **options):
    torch.manual_seed(0)
    data = pairs() if data is None else data
    return find_measures(network, data, ("random", len(data) or 1, 10), "cpu", measure_names=names, **options)


def plain(change=lambda network: network):
    torch.manual_seed(0)
    return change(plain_network())


def wrapped(forward):
    return lambda: Network(forward, body=plain())


def with_norm(norm):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        norm,
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 10),
    )


def vectors(*layers):
    return lambda: nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(8, 10))


def tokens():
    def forward(self, x):
        return self.head(self.relu(self.words(x).mean(1)))

    return Network(forward, words=nn.Embedding(50, 8), relu=nn.ReLU(), head=nn.Linear(8, 10))


def patches(inner):
    """Patches as tokens, what is done with them, and a head."""

    def forward(self, x):
        return self.head(self.relu(inner(self, self.patches(x).flatten(2).transpose(1, 2)).mean(1)))

    return forward, {"patches": nn.Conv2d(3, 8, 4, 4), "relu": nn.ReLU(), "head": nn.Linear(8, 10)}


def attention():
    forward, parts = patches(lambda self, x: self.attention(x, x, x, need_weights=False)[0])
    return Network(forward, attention=nn.MultiheadAttention(8, 2, batch_first=True), **parts)


def recurrent():
    forward, parts = patches(lambda self, x: self.rnn(x)[0])
    return Network(forward, rnn=nn.LSTM(8, 8, batch_first=True), **parts)


def complex_weights():
    conv = nn.Conv2d(3, 4, 3, dtype=torch.complex64)
    return Network(lambda self, x: self.conv(x + 0j).abs().mean((2, 3)), conv=conv, relu=nn.ReLU())


def under(context):
    """The body of the network runs under the context, its last layer does not."""

    def forward(self, x):
        with context():
            x = self.body[:-1](x)
        return self.body[-1](x.clone())

    return wrapped(forward)


def in_checkpoints(reentrant):
    def forward(self, x):
        return self.body[-1](checkpoint(self.body[:-1], x, use_reentrant=reentrant))

    return wrapped(forward)


def never_run():
    return Network(lambda self, x: self.head(x.mean((2, 3)).tanh()), relu=nn.ReLU(), head=nn.Linear(3, 10))


def takes_two():
    class Two(nn.Module):
        def forward(self, x, y):
            return x

    return Two()
