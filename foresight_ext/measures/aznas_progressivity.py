"""`aznas_progressivity`: how much each cell adds to the directions of its input, a part of `aznas`."""

from foresight_ext.measures.aznas_features import PROGRESSIVITY, FeatureProxy


class Progressivity(FeatureProxy):
    """The least e_i - e_(i-1) over feature maps, e as in `aznas_expressivity`, which says what it costs.

    Minus infinity where a map is 0 everywhere.
    """

    name = PROGRESSIVITY


PROXY = Progressivity()
