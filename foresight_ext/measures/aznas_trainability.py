"""`aznas_trainability`: how well cells pass gradients back, neither more nor less, a part of `aznas`."""

from foresight_ext.measures.aznas_features import TRAINABILITY, FeatureProxy


class Trainability(FeatureProxy):
    """Mean over pairs of successive feature maps of 2 - s - 1 / (s + 1e-6), at most 0, which is at s = 1.

    The maps are those of stem and cells (stages.py). Random signs g in place of the later map's gradient
    become h at the earlier map; s is the largest singular value of h^T g by the number of positions. Where
    the later map is smaller, h is unshuffled to its size, after a row and a column of zeros where that is
    half of an odd one. Minus infinity if h is g, as for a cell that
    passes on its input. Weights and images are drawn anew (redrawing.py). No labels; training mode; one
    forward and one backward pass, the memory of training; h^T g in float64.
    """

    name = TRAINABILITY
    needs_gradients = True


PROXY = Trainability()
