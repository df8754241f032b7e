"""Folded convolutions are PyTorch's own fusion, whatever the convolution; what can't be folded is named."""

import pytest
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from foresight_ext.errors import UserError
from foresight_ext.supernets.folding import Folded
from foresight_ext.supernets.sharing import Activation

CONVOLUTIONS = {
    "plain": {"bias": False, "padding": 1},
    "bias": {"bias": True},
    "stride": {"bias": True, "stride": 2, "padding": 1},
    "dilation": {"bias": False, "dilation": 2, "padding": 2},
    "groups": {"bias": True, "groups": 2},
    "depthwise": {"bias": False, "groups": 4, "dilation": 2},
    "uneven": {"bias": True, "stride": (1, 2), "padding": (2, 0), "dilation": (2, 1)},
}


def used(bn):
    """A batch norm with statistics and weights of its own."""
    for value in (bn.running_mean, bn.running_var, bn.weight, bn.bias):
        if value is not None:
            value.data.uniform_(0.5, 2)
    return bn.eval()


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_folded_is_what_pytorch_fuses(name, affine):
    torch.manual_seed(0)
    conv, bn = nn.Conv2d(4, 6 if name != "depthwise" else 8, 3, **CONVOLUTIONS[name]).double(), None
    bn = used(nn.BatchNorm2d(conv.out_channels, affine=affine).double())
    x = torch.randn(2, 4, 9, 9, dtype=torch.float64)
    with torch.no_grad():
        expected = fuse_conv_bn_eval(conv.eval(), bn)(x) if affine else bn(conv(x))
        torch.testing.assert_close(Folded.of(conv, bn)(x), expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(Folded.of(conv, bn).scaled(0.5)(x), 0.5 * expected)
        torch.testing.assert_close(Folded.of(conv)(x), conv(x))
        torch.testing.assert_close(Folded.of(conv).scaled(2)(x), 2 * conv(x))


@pytest.mark.parametrize(
    "conv",
    [
        nn.ConvTranspose2d(2, 2, 3),
        nn.Conv2d(2, 2, 3, padding="same"),
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"),
        nn.Conv1d(2, 2, 3),
    ],
)
def test_other_convolutions_are_refused_by_name(conv):
    with pytest.raises(UserError) as error:
        Folded.of(conv, nn.BatchNorm2d(2))
    assert str(error.value).startswith(f"{conv} can't be folded: ")


def test_what_is_no_batch_norm_is_refused_by_name():
    with pytest.raises(UserError, match=r"ReLU\(\) can't be folded: it must be a batch norm"):
        Folded.of(nn.Conv2d(2, 2, 1), nn.ReLU())


def test_a_batch_norm_without_statistics_is_refused_by_name():
    with pytest.raises(UserError, match="BatchNorm2d.* can't be folded: it has no running statistics"):
        Folded.of(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2, track_running_stats=False))


def test_an_activation_has_both_kinds_of_relu():
    activation = Activation(torch.tensor([[-1.0, 3.0, 9.0]]))
    assert activation.relu().tolist() == [[0, 3, 9]]
    assert activation.relu6().tolist() == [[0, 3, 6]]
    assert activation.relu6() is activation.relu6()
