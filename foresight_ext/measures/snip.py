"""`snip`: how much the loss depends on each connection being there."""

from torch import Tensor

from foresight_ext.measures.layers import GradientProxy


class Snip(GradientProxy):
    """|dL/dm| of a mask m of ones on the weights, which is |w g|: the saliency of connections."""

    name = "snip"
    source = "Lee et al. 2019 (SNIP); Abdelfattah et al. 2021 (Zero-Cost-NAS)"

    def value(self, weight: Tensor, gradient: Tensor) -> Tensor:
        return (weight * gradient).abs()


PROXY = Snip()
