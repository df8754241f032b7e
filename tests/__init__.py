"""The tests, in folders like the code's; helpers lie here."""

from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent
