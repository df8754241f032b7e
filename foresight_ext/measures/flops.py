"""`flops`: the multiply-adds of the convolutions and linear layers for one image, a baseline."""

from foresight_ext.measures import PROXIES
from foresight_ext.measures.params import Size

PROXIES.register("flops", Size("multiply_adds"))
