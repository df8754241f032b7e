"""Writing files so that nothing half-written is ever seen: a temporary file, then a rename."""

import errno
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ABOVE = Path(__file__).resolve().parent.parent
# the project's checkout; None where it is installed as a package
CHECKOUT = _ABOVE if (_ABOVE / "exp_scripts").is_dir() else None
# where data/ and runs/ lie unless the user says otherwise: never among installed packages
HOME = CHECKOUT or Path.cwd()
DATA_FOLDER = HOME / "data"
# a full disk, a quota that is used up, a file that may not grow (ulimit -f)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an OSError name the file or folder that is written: what a write raises does not."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def disk_of(path: Path) -> Path:
    """Where the disk is mounted on which a path lies, or would lie."""
    path = path.absolute()
    while not path.is_mount():
        path = path.parent
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the place of `path` if the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        with naming(path):
            yield temporary
        # mkstemp makes files private; give this one the permissions any new file would have
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file, which one process at a time does; waits for it. Its folder must be there."""
    with path.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON in one step, keys in the order given."""
    write_text(path, json.dumps(content, indent=2) + "\n")
