"""Mixings that share a forward pass: each step once for those that agree, and nothing held for longer."""

import weakref

import torch

from foresight_ext.supernets.kernel import AgreementKernel
from foresight_ext.supernets.sharing import Activation, Forward, Step, run_shared

X = torch.tensor([[1.0, -2.0], [-3.0, 4.0]])


class State(Forward):
    def __init__(self, x, kernel):
        self.x = x
        self.kernel = kernel

    def fork(self):
        return State(self.x.copy(), self.kernel.copy())


class Reads(Step):
    """Derives a tensor from the state's, and notes what derived before is still held."""

    def __init__(self, choice, log):
        self.choice = choice
        self.log = log
        self.derived = []

    def reads(self, mixing):
        return mixing[self.choice]

    def run(self, state, mixing):
        state.x.record(state.kernel, relus=1)
        held = sum(tensor() is not None for tensor in self.derived)
        self.log.append((self.choice, mixing[self.choice], held))
        self.derived.append(weakref.ref(state.x.relu()))


def test_a_step_is_taken_once_for_mixings_that_agree_and_branches_free_what_they_derive():
    mixings = [((1.0,), (row,)) for row in (1.0, 2.0, 3.0, 2.0)]
    log = []
    state = State(Activation(X), AgreementKernel(X, count_blocks=True))
    kernels = run_shared([Reads(0, log), Reads(1, log)], mixings, state)
    # of the first step, taken for all; of the second, one branch after the other
    assert log == [(0, (1.0,), 0), (1, (1.0,), 0), (1, (2.0,), 0), (1, (3.0,), 0)]
    assert kernels[1] is kernels[3]
    assert [kernel.matrix().tolist() for kernel in kernels] == [[[4, 0], [0, 4]]] * 4


def test_copies_share_the_product_and_derive_for_themselves():
    first = Activation(X)
    second = first.copy()
    assert first.product() is second.product()
    assert first.relu() is first.relu()
    assert first.relu() is not second.relu()
    first.forget()
    second.forget("relu")
    assert not first._derived and not second._derived
