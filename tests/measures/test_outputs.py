"""Networks that return several things: their logits are chosen, or it is said how to."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from foresight_ext import find_measures
from foresight_ext.errors import UserError
from foresight_ext.functional import only_logits
from tests.measures.scoring import measured, score
from tests.networks import minibatch, plain_network


@dataclass
class Named:
    features: torch.Tensor
    scores: torch.Tensor


class Several(nn.Module):
    """Returns features and logits in some form."""

    def __init__(self, form):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head, self.form = plain_network()[:-1], nn.Linear(16, 10), form

    def forward(self, x):
        features = self.body(x)
        return self.form(features, self.head(features))


FORMS = {
    "tuple": (lambda features, logits: (features, logits), 1),
    "list": (lambda features, logits: [features, logits], -1),
    "mapping": (lambda features, logits: {"features": features, "scores": logits}, "scores"),
    "dataclass": (Named, "scores"),
    "function": (lambda features, logits: ((features,), (logits,)), lambda both: both[1][0]),
}


@pytest.mark.parametrize("name", FORMS)
def test_one_of_several_outputs_is_chosen(name):
    form, output = FORMS[name]
    batch = minibatch(4, 8)
    data, names = [(batch.inputs, batch.targets)], ["snip", "synflow", "jacob_cov", "fisher"]
    alone = Several(lambda features, logits: logits)
    expected = find_measures(alone, data, ("random", 1, 10), "cpu", measure_names=names)
    found = find_measures(Several(form), data, ("random", 1, 10), "cpu", measure_names=names, output=output)
    assert found == expected


def test_several_outputs_are_told_with_how_to_choose():
    batch = minibatch(4, 8)
    with pytest.raises(UserError) as error:
        score("snip", Several(FORMS["tuple"][0]), batch)
    assert str(error.value).startswith(
        "the network returned a tuple of a tensor of 8 x 16, a tensor of 8 x 10: it must return its logits"
    )
    assert "output= (an index, a key or a function)" in str(error.value)
    data = [(batch.inputs, batch.targets)]
    for output in (7, "logits"):
        with pytest.raises(UserError, match=f"output={output!r}: the network returned a "):
            network = Several(FORMS["tuple"][0])
            find_measures(network, data, ("random", 1, 10), "cpu", measure_names=["snip"], output=output)
    with pytest.raises(UserError, match="returned a mapping of a: a tensor of 2 x 3, b: a NoneType"):
        only_logits(nn.Identity(), {"a": torch.zeros(2, 3), "b": None})


class TrainingPair(nn.Module):
    """Returns a pair in training mode and its logits alone in evaluation mode, as torchvision's do."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.network = plain_network()

    def forward(self, x):
        x = self.network(x)
        return (x, x) if self.training else x


@pytest.mark.parametrize("training", [True, False])
def test_an_output_is_chosen_only_where_there_are_several(training):
    batch = minibatch(7, 8)
    data, name = [(batch.inputs, batch.targets)], "jacob_cov"
    torch.manual_seed(0)
    expected = measured(plain_network().train(training), name, batch=batch)
    network = TrainingPair().train(training)
    found = find_measures(network, data, ("random", 1, 10), "cpu", measure_names=[name], output=0)
    assert found == pytest.approx(expected)
