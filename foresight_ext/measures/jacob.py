"""`jacob`: log-determinant of the NASWOT kernel, counted as the official Zero-Cost-PT code counts."""

from collections.abc import Sequence
from functools import partial

from torch import nn

from foresight_ext.images.batches import Batch
from foresight_ext.measures.proxy import Proxy
from foresight_ext.supernets.kernel import AgreementKernel, KernelNetwork, record_by_hooks
from foresight_ext.supernets.supernet import Mixing, Supernet


class KernelProxy(Proxy):
    """log|det K|, K = sum over recorded tensors of c c^T + (1-c)(1-c)^T, c = (x > 0) for B images.

    Measures how differently the images switch the network's ReLUs. Evaluation mode, no gradient, no
    labels; one forward pass and one B x D by D x B product for every distinct tensor that ReLUs read.
    With `count_blocks`, whole ReLU-Conv-BN blocks record their input besides the ReLU that starts them.
    """

    source = "Mellor et al. 2021 (NASWOT); Xiang et al. 2023 (Zero-Cost-PT), section 3"
    needs_relus = True

    def __init__(self, name: str, count_blocks: bool):
        self.name = name
        self.new_kernel = partial(AgreementKernel, count_blocks=count_blocks)

    def score(self, network: nn.Module, batch: Batch) -> float:
        if isinstance(network, KernelNetwork):
            return float(network.kernel(batch.inputs, self.new_kernel).log_det())
        kernel = self.new_kernel(batch.inputs)
        record_by_hooks(network, batch.inputs, kernel)
        return float(kernel.log_det())

    def score_mixings(self, supernet: Supernet, mixings: Sequence[Mixing], batch: Batch) -> list[float]:
        kernels = supernet.kernels(batch.inputs, mixings, self.new_kernel)
        return [float(kernel.log_det()) for kernel in kernels]


PROXY = KernelProxy("jacob", count_blocks=True)
