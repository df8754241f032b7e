"""Code of the user's, named as MODULE:NAME or FILE.py:NAME: what goes wrong in it is told with its place."""

import importlib
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from foresight_ext.errors import UserError, reason

# frames of these are not where the user went wrong; "<" is how Python names what it has frozen in
_NOT_THE_USERS = (
    "<",
    str(Path(__file__).parent),
    *(sysconfig.get_path(name) for name in ("stdlib", "platlib", "purelib")),
)

_FILE = "_file_"  # how names of modules begin that are files of the user's


@contextmanager
def users_code(what: str) -> Iterator[None]:
    """Let whatever the user's code raises be a UserError that begins with `what` and ends with the place."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{what}: {error}") from error
    except (Exception, SystemExit) as error:  # of any kind: a script without a guard ends the program
        raise UserError(f"{what}: {type(error).__name__}: {reason(error)}{_place(error)}") from error


def named(place: str) -> Any:
    """What a name stands for, as MODULE:NAME or FILE.py:NAME; UserError if it can't be had."""
    where, _, name = place.rpartition(":")
    if not where or not name.isidentifier():
        raise UserError(f"'{place}' names nothing: it must be MODULE:NAME or FILE.py:NAME")
    module = imported(where)
    if not hasattr(module, name):
        own = [
            name for name, one in vars(module).items() if getattr(one, "__module__", "") == module.__name__
        ]
        raise UserError(f"{where} has no '{name}': it has {', '.join(own) or 'nothing of its own'}")
    return getattr(module, name)


def imported(where: str) -> ModuleType:
    """The module of that name, or the file; UserError if it can't be imported."""
    return _of_file(Path(where)) if where.endswith(".py") else _of_name(where)


def of_files() -> list[ModuleType]:
    """The modules that were files of the user's here: another process can't import them by their names."""
    return [module for name, module in sys.modules.items() if name.startswith(_FILE)]


def _of_name(name: str) -> ModuleType:
    with users_code(name):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if f"{name}.".startswith(f"{error.name}."):  # the module itself, or a package around it
                there = "it must be installed, in PYTHONPATH or where you stand"
                raise UserError(f"no such module: {there}, or be given as FILE.py") from error
            raise


def _of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    name = f"{_FILE}{path.stem}"  # such that a file random.py takes no other module's name
    spec = importlib.util.spec_from_file_location(
        name, path.absolute(), loader=_AsItIs(name, str(path.absolute()))
    )
    assert spec is not None and spec.loader is not None  # its name ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with users_code(str(path)):
        try:
            spec.loader.exec_module(module)
        except ModuleNotFoundError as error:
            beside = path.parent / (error.name or "").partition(".")[0]
            if error.name and (beside.is_dir() or beside.with_suffix(".py").is_file()):
                told = f"it imports '{error.name}', which lies beside it"
                folder = path.parent.absolute()
                raise UserError(f"{told}: stand in {folder}, or set PYTHONPATH={folder}") from error
            raise
    return module


class _AsItIs(SourceFileLoader):
    """Reads the file itself. What Python keeps compiled of it counts as new for a second after a change."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _place(error: BaseException) -> str:
    """Where the user's code has raised an exception, as (file:line); empty if it was only called wrongly."""
    if isinstance(error, SyntaxError):
        return f" ({error.filename}:{error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_NOT_THE_USERS)]
    return "".join(f" ({frame.filename}:{frame.lineno})" for frame in own[-1:])
