"""`gradsign_sum`: gradsign as a sum over weights, not their mean."""

from foresight_ext.measures.gradsign import GradSign

PROXY = GradSign("gradsign_sum", mean=False)
