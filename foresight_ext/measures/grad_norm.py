"""`grad_norm`: the norm of the loss gradient."""

from torch import Tensor

from foresight_ext.measures.layers import GradientProxy


class GradNorm(GradientProxy):
    """||g||, the Euclidean norm of a layer's gradient: how far one step of training would move it."""

    name = "grad_norm"
    source = "Abdelfattah et al. 2021 (Zero-Cost-NAS), section 3.2"

    def value(self, weight: Tensor, gradient: Tensor) -> Tensor:
        return gradient.norm()


PROXY = GradNorm()
