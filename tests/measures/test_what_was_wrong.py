"""A network or a loader that a proxy can't score: one line names what was wrong."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from foresight_ext import find_measures
from foresight_ext.errors import UserError
from tests.measures.made_networks import (
    complex_weights,
    found,
    in_checkpoints,
    never_run,
    pairs,
    plain,
    takes_two,
    tokens,
    under,
    vectors,
    with_norm,
    wrapped,
)
from tests.networks import images


def lazy():
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(10))


def quantised():
    from torch.ao.nn.quantized import dynamic

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that these are deprecated
        return dynamic.Linear(10, 10)


class Detached(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = plain()

    def forward(self, x):
        return self.body(x).detach()


NO_GRADIENT = "a part of the network runs without gradients, the layer 'body.3' (no_grad?)"
RUNS = "the network does not take a minibatch of "


@pytest.mark.parametrize(
    "make, data, name, told",
    [
        (under(torch.no_grad), pairs, "snip", f"snip: {NO_GRADIENT}"),
        (under(torch.no_grad), pairs, "jacob_cov", f"jacob_cov: {NO_GRADIENT}"),
        (under(torch.inference_mode), pairs, "zico", f"zico: {NO_GRADIENT}"),
        (
            under(torch.inference_mode),
            pairs,
            "meco",
            "meco: a part of the network runs in inference_mode, which",
        ),
        (in_checkpoints(True), pairs, "ntk", f"ntk: {NO_GRADIENT}"),
        (
            in_checkpoints(False),
            pairs,
            "synflow",
            "synflow: the layer 'body.0' runs again in the backward pass",
        ),
        (Detached, pairs, "synflow", "synflow: the network's output has no gradient (no_grad, detach, whole"),
        (
            never_run,
            pairs,
            "swap",
            "swap looks at what ReLUs read (nn.ReLU, nn.ReLU6, F.relu): none of the network's has run",
        ),
        (
            never_run,
            pairs,
            "meco",
            "meco looks at feature maps, what modules return of 1 x C x H x W: there are",
        ),
        (
            lambda: nn.Sequential(nn.Flatten()),
            pairs,
            "ntk",
            "ntk looks at the gradients of parameters called weight: real ones are needed",
        ),
        (
            complex_weights,
            pairs,
            "fisher",
            "the weight of the layer 'conv' is of complex numbers: they must be",
        ),
        (
            wrapped(lambda self, x: self.body(x).mean()),
            pairs,
            "snip",
            "the network returned a tensor of one number for 8 images: it must return its logits, a row for",
        ),
        (
            wrapped(lambda self, x: self.body(x)[:, 0]),
            pairs,
            "zico",
            "loss_fn: cross entropy needs a number for",
        ),
        (takes_two, pairs, "snip", "the network has neither"),
        (takes_two, pairs, "jacob_cov", f"dataloader: {RUNS}8 x 3 x 16 x 16 (torch.float32): "),
        (
            plain,
            lambda: pairs(images(6, 1, 1), torch.zeros(1).long()),
            "snip",
            f"dataloader: {RUNS}1 x 3 x 1 x 1",
        ),
        (
            plain,
            lambda: pairs(images(6, 8)[:, :1]),
            "params",
            f"dataloader: {RUNS}8 x 1 x 16 x 16 (torch.float32)",
        ),
        (
            plain,
            lambda: pairs(images(6, 8).byte()),
            "params",
            "dataloader: the network's weights are torch.float32 and the images torch.uint8: make them",
        ),
        (
            plain,
            lambda: pairs(labels=torch.ones(8)),
            "plain",
            "loss_fn: it does not take outputs of 8 x 10 and labels of 8 (torch.float32): ",
        ),
        (
            plain,
            lambda: pairs(labels=torch.arange(8) + 5),
            "snip",
            "dataloader: labels go from 5 to 12, and the network's 10 outputs are for 0 to 9",
        ),
        (
            plain,
            lambda: pairs(labels=torch.arange(8) - 1),
            "zico",
            "dataloader: labels go from -1 to 6, and the",
        ),
        (
            plain,
            lambda: pairs(labels=torch.full((8,), -100)),
            "snip",
            "dataloader: all labels are -100, which",
        ),
        (
            tokens,
            lambda: pairs(torch.arange(40).view(8, 5)),
            "synflow",
            "synflow needs images of real numbers, and the minibatch is 8 x 5 (torch.int64): ",
        ),
        (
            vectors(nn.Linear(12, 8)),
            lambda: pairs(images(0, 8)[:, 0, 0, :12]),
            "linear_regions",
            "linear_regions feeds images (n x C x H x W), and this network takes 8 x 12 (torch.float32): ",
        ),
        (
            lambda: with_norm(nn.LayerNorm((8, 16, 16))),
            pairs,
            "meco",
            "meco feeds images of another size than 16",
        ),
        (
            lambda: nn.Sequential(plain(), quantised()),
            pairs,
            "params",
            "net_orig: '1' is quantised, so that it",
        ),
        (
            quantised,
            pairs,
            "params",
            "net_orig: 'Linear' is quantised, so that it has neither weights nor grad",
        ),
        (lazy, pairs, "l2_norm", "net_orig: '0.weight' of a lazy module is not there yet: run the network"),
        (
            lambda: torch.jit.script(plain()),
            pairs,
            "snip",
            "net_orig: what TorchScript has compiled hides its",
        ),
        (lambda: plain().forward, pairs, "snip", "net_orig: a method is given: it must be a torch.nn.Module"),
        (
            lambda: plain().to("meta"),
            pairs,
            "snip",
            "device: the network or the images can't be put on cpu: ",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_was_wrong_is_named(make, data, name, told):
    with pytest.raises(UserError) as error:
        found(make(), [name], data())
    assert str(error.value).startswith(told)


@pytest.mark.parametrize(
    "data, told",
    [
        (3, "dataloader: int is given, which holds no minibatches"),
        ([], "dataloader: a pass over it gave no minibatch"),
        (pairs(list(images(6, 8))), "dataloader: a minibatch's images are a list: they must be a tensor"),
        (pairs(labels=[1] * 8), "dataloader: a minibatch's labels are a list: they must be a tensor"),
        (
            pairs(images(6, 8).numpy()),
            "dataloader: a minibatch's images are a ndarray: they must be a tensor",
        ),
        (pairs(images(6, 0)), "dataloader: a minibatch has no images: one or more are needed"),
        (pairs(images(6, 7)), "dataloader: a minibatch has 7 images and 8 labels: it must have as many"),
        (pairs() + pairs(images(6, 8, 8)), "dataloader: images differ in size: "),
        (
            pairs(torch.cat((images(6, 3), images(6, 5) / 0))),
            "dataloader: image 3 of a minibatch holds NaN or infinite numbers: it must not",
        ),
    ],
    ids=lambda value: value[12:40] if isinstance(value, str) else "",
)
def test_what_was_wrong_with_the_loader_is_named(data, told):
    data = data if isinstance(data, list) else 3
    with pytest.raises(UserError) as error:
        find_measures(plain(), data, ("random", 2, 10), "cpu", measure_names=["snip"])
    assert str(error.value).startswith(told)


@pytest.mark.parametrize(
    "info, told",
    [
        (
            ("random", 1),
            'dataload_info: (\'random\', 1) is given: it must be a kind, "random" or "grasp", and',
        ),
        (("random", "1", 4), "dataload_info: ('random', '1', 4) is given"),
        (None, "dataload_info: None is given"),
        (("random", 0, 4), "dataload_info: 0 is no number of minibatches or images"),
        (("grasp", 1, 0), "dataload_info: 0 is no number of classes"),
    ],
)
def test_what_was_wrong_with_what_is_asked_of_the_loader(info, told):
    with pytest.raises(UserError) as error:
        find_measures(plain(), pairs(), info, "cpu", measure_names=["snip"])
    assert str(error.value).startswith(told)


def test_single_images_are_no_minibatches():
    items = TensorDataset(images(6, 8), torch.zeros(8))
    with pytest.raises(UserError, match="^dataloader: it gives single images, each with its label, and no"):
        find_measures(plain(), items, ("random", 1, 10), "cpu", measure_names=["snip"])


def test_names_are_a_list():
    with pytest.raises(UserError, match="^measure_names: 'snip' is given: it must be a list of names"):
        find_measures(plain(), pairs(), ("random", 1, 10), "cpu", measure_names="snip")


@pytest.mark.parametrize(
    "loss, told",
    [
        (
            lambda outputs, targets: outputs.sum().detach(),
            "what it returned has no gradient (no_grad, detach",
        ),
        (
            lambda outputs, targets: float(outputs.detach().sum()),
            "it returned a float: it must return a tensor of one",
        ),
        (
            lambda outputs, targets: outputs.sum(dim=1),
            "it returned a tensor of 8: it must return a tensor of",
        ),
    ],
)
def test_what_was_wrong_with_the_loss(loss, told):
    with pytest.raises(UserError) as error:
        find_measures(plain(), pairs(), ("random", 1, 10), "cpu", loss_fn=loss, measure_names=["snip"])
    assert str(error.value).startswith(f"loss_fn: {told}")


def test_images_by_class_need_one_label_each():
    one_hot = pairs(labels=F.one_hot(torch.arange(8), 10))
    with pytest.raises(
        UserError, match="^dataload_info: 'grasp' takes images by class: an image's label must be"
    ):
        find_measures(plain(), one_hot, ("grasp", 1, 8), "cpu", measure_names=["snip"])
