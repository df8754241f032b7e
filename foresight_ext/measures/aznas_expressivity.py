"""`aznas_expressivity`: in how many directions the features of a network spread, a part of `aznas`."""

from foresight_ext.measures.aznas_features import EXPRESSIVITY, FeatureProxy


class Expressivity(FeatureProxy):
    """Sum over feature maps of the entropy of their principal components' shares.

    The maps are those of stem and cells (stages.py), rows of C channels an image and position. Shares are the
    eigenvalues of the channels' covariance over their sum, e = -sum of q log(q + 1e-8). Eigenvalues that
    rounding makes negative count as 0: the authors' code gives NaN there. A map that is 0 everywhere, of a
    cell of `none`, has no shares: minus infinity, as which the authors count it. Weights and images are drawn
    anew (redrawing.py). No labels, no gradient; training mode; one forward pass; covariances in float64.
    """

    name = EXPRESSIVITY


PROXY = Expressivity()
