"""`flops`: the multiply-adds of the convolutions and matrix products for one image, a baseline."""

from foresight_ext.measures.complexity import multiply_adds
from foresight_ext.measures.params import Size

PROXY = Size("flops", multiply_adds)
