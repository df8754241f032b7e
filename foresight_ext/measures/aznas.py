"""`aznas`: expressivity, progressivity, trainability and complexity, four parts that are ranked."""

from foresight_ext.measures import (
    aznas_complexity,
    aznas_expressivity,
    aznas_progressivity,
    aznas_trainability,
)
from foresight_ext.measures.combination import Combination


class AZNAS(Combination):
    """The sum over its four parts of log(rank / L) among the L networks that are compared.

    Those are an edge's candidates, those of all undecided edges (global orders), or the pool. A part that
    has no value because nothing reaches a cell counts as minus infinity, the lowest; a network whose
    numbers are NaN has no score.
    """

    def __init__(self) -> None:
        parts = (aznas_expressivity, aznas_progressivity, aznas_trainability, aznas_complexity)
        super().__init__([part.PROXY for part in parts], "log_rank")
        self.name = "aznas"
        self.source = "Lee & Ham 2024 (AZ-NAS)"


PROXY = AZNAS()
