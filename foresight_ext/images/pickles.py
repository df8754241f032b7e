"""Opening the pickled arrays of published data sets without executing what they contain."""

import pickle
from pathlib import Path
from typing import Any

from foresight_ext.errors import UserError, reason

# what a pickle of containers of numbers and numpy arrays needs; numpy 2 moved numpy.core to numpy._core,
# and pickles of protocol 5 build arrays with _frombuffer
_ALLOWED = {
    (f"numpy.{core}.{module}", name)
    for core in ("core", "_core")
    for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
} | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"), ("collections", "OrderedDict")}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, which is no array")
        return super().find_class(module, name)


def load_arrays(path: Path) -> Any:
    """The content of a pickle of arrays and plain containers; UserError if it is anything else."""
    try:
        with path.open("rb") as file:
            return _ArraysOnly(file, encoding="latin1").load()
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:  # on a damaged pickle nearly anything, MemoryError and LookupError included
        raise UserError(f"{path} is not an intact pickle of arrays: {reason(error)}") from error
