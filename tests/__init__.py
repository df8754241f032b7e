"""The tests, in folders like the code's; helpers lie here."""

from pathlib import Path

from foresight_ext.launched import share_cores

PROJECT_ROOT = Path(__file__).resolve().parent.parent
share_cores()  # before PyTorch loads, for tests and what they start
