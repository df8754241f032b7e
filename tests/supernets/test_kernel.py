"""The NASWOT kernel: answers worked out by hand, exactness, and networks left as they were."""

import math

import pytest
import torch
from torch import nn

from foresight_ext.images.batches import Batch
from foresight_ext.measures import PROXIES
from foresight_ext.randomness import fix_noise
from foresight_ext.supernets import kernel as kernels
from foresight_ext.supernets.kernel import AgreementKernel, KernelNetwork, RecordedBlock, record_by_hooks

# three images of four numbers: agreements 4 with oneself; 1-2: positions 2, 3; 1-3: none; 2-3: positions 0, 1
THREE = torch.tensor([[1.0, -1.0, 2.0, 0.0], [-1.0, 3.0, 1.0, -2.0], [-1.0, 0.5, -1.0, 7.0]])
THREE_AGREE = [[4, 2, 0], [2, 4, 2], [0, 2, 4]]


def test_agreement_by_hand():
    kernel = AgreementKernel(THREE, count_blocks=True)
    kernel.add(THREE, relus=1)
    assert kernel.matrix().tolist() == THREE_AGREE
    # det [[4,2,0],[2,4,2],[0,2,4]] = 4 (16 - 4) - 2 (8 - 0) = 32
    assert float(kernel.log_det()) == pytest.approx(math.log(32), rel=1e-15)


def test_multiplicities_and_zeros_by_hand():
    for count_blocks, times in ((True, 5), (False, 3)):
        kernel = AgreementKernel(THREE, count_blocks)
        kernel.add(THREE, relus=3, blocks=2)
        kernel.add_zeros(10, relus=1, blocks=0)
        expected = times * torch.tensor(THREE_AGREE) + 10
        assert kernel.matrix().tolist() == expected.tolist()


def test_zero_and_nan_do_not_fire():
    x = torch.tensor([[0.0, math.nan, 1.0], [-0.0, -1.0, 1.0]])
    kernel = AgreementKernel(x, count_blocks=True)
    kernel.add(x, relus=1)
    assert kernel.matrix().tolist() == [[3, 3], [3, 3]]
    assert float(kernel.log_det()) == -math.inf  # singular: a legal, lowest score


@pytest.mark.parametrize("batch", [1, 7, 127, 128, 201])
def test_equals_the_definition_in_any_memory_layout(batch):
    torch.manual_seed(batch)
    x = torch.randn(batch, 3, 5, 4)
    c = (x.reshape(batch, -1) > 0).double()
    expected = 3 * (c @ c.T + (1 - c) @ (1 - c).T)
    for layout in (x, x.contiguous(memory_format=torch.channels_last), x.transpose(2, 3)):
        kernel = AgreementKernel(x, count_blocks=True)
        kernel.add(layout, relus=1, blocks=2)
        assert torch.equal(kernel.matrix(), expected)


@pytest.mark.parametrize("whole", (True, False))
@pytest.mark.parametrize("shape", ((24, 3, 8, 4), (256, 40), (24, 3, 5, 4), (20, 16), (16, 64)))
def test_products_of_whole_numbers_and_of_floats_are_equal(shape, whole, monkeypatch):
    monkeypatch.setattr(kernels, "whole_numbers_are_faster", lambda *place: whole)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    c = (x.reshape(len(x), -1) > 0).long()
    product = kernels.pattern_product(x)
    fits = len(x) > 16 and len(x) % 8 == 0 and x[0].numel() % 8 == 0
    assert product.dtype == (torch.int32 if whole and fits else torch.float32)
    assert torch.equal(product.long(), c @ c.T)


def test_a_pytorch_without_products_of_whole_numbers_takes_floats(monkeypatch):
    monkeypatch.delattr(torch, "_int_mm")
    assert not kernels.whole_numbers_are_faster.__wrapped__(24, torch.device("cpu"), 1)


class Block(RecordedBlock):
    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU6()

    def forward(self, x):
        return self.relu(x) - 1


def test_hooks_count_relus_and_blocks_and_leave_no_trace():
    network = nn.Sequential(Block(), nn.Dropout(0.5), nn.ReLU(), nn.Flatten())
    network[1].eval()
    modes = [module.training for module in network.modules()]
    for name, times in (("jacob", 2), ("nwot", 1)):
        score = PROXIES.get(name).score(network, Batch(THREE, torch.zeros(3)))
        kernel = AgreementKernel(THREE, count_blocks=False)
        kernel.add(THREE, relus=times)
        kernel.add(THREE.clamp(0, 6) - 1, relus=1)
        assert score == float(kernel.log_det())
    assert [module.training for module in network.modules()] == modes
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_hooks_are_removed_when_the_network_fails():
    network = nn.Sequential(Block(), nn.Linear(5, 2))
    kernel = AgreementKernel(THREE, count_blocks=True)
    with pytest.raises(RuntimeError):
        record_by_hooks(network, THREE, kernel)
    assert network.training
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_what_a_users_network_happens_to_hold_is_no_promise():
    """Attributes named like ours mean nothing: only the base classes do."""
    network = nn.Sequential(nn.ReLU(), nn.Flatten())
    batch = Batch(THREE, torch.zeros(3), 1)
    expected = PROXIES.get("jacob").score(network, batch)
    for name in ("kernel", "records_input", "noise_seed", "drop_path"):
        setattr(network, name, 3)
        network[0].records_input = True
        fix_noise(network, 5)
        assert PROXIES.get("jacob").score(network, batch) == expected
        assert getattr(network, name) == 3


class Quick(KernelNetwork):
    """Says that its kernel is that of THREE."""

    def kernel(self, x, new_kernel):
        kernel = new_kernel(x)
        kernel.add(THREE, relus=1)
        return kernel


def test_a_network_may_compute_its_own_kernel():
    score = PROXIES.get("jacob").score(Quick(), Batch(torch.zeros(3, 1), torch.zeros(3)))
    assert score == pytest.approx(math.log(32), rel=1e-15)
