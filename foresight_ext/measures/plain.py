"""`plain`: first-order change of the loss if weights were removed, with its sign."""

from torch import Tensor

from foresight_ext.measures.layers import GradientProxy


class Plain(GradientProxy):
    """w g: what the loss loses, to first order, when the weight goes; positive and negative cancel."""

    name = "plain"
    source = "Mozer & Smolensky 1989 (skeletonization); Abdelfattah et al. 2021 (Zero-Cost-NAS)"

    def value(self, weight: Tensor, gradient: Tensor) -> Tensor:
        return weight * gradient


PROXY = Plain()
