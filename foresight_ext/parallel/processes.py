"""Independent work in several processes of this machine, by joblib."""

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple, cast
from uuid import uuid4

from foresight_ext.errors import UserError
from foresight_ext.loading import of_files

# makes what computes a task's result: called once in every process, it opens and builds what tasks share
Start = Callable[[], Callable[[Any], Any]]
Results = Generator[Any, None, None]


class _Token(NamedTuple):
    """Tells pools apart that share their processes, and which process asks."""

    parent: int
    name: str


def in_processes(start: Start, tasks: Iterable[Any], processes: int, threads: int | None) -> Results:
    """The result of every task, in the order of the tasks, whichever process is done first.

    One process is this one. Several have `threads` threads each (None: one); `start`, tasks and results are
    pickled. What a task raises is raised here; UserError if a process dies. Close the iterator, as
    contextlib.closing does, to stop what still runs.
    """
    if processes == 1:
        work = start()
        yield from map(work, tasks)
        return
    from joblib import Parallel, delayed, parallel_config

    # one that has come to hold a supernet is replaced by a new one, as if it leaked: no result hangs on that
    warnings.filterwarnings("ignore", "A worker stopped while some jobs were given to the executor")
    token, pickled = _Token(os.getpid(), uuid4().hex), _pickled(start)
    with parallel_config(backend="loky", inner_max_num_threads=threads or 1), _signals_are_ours():
        pool = Parallel(n_jobs=processes, return_as="generator")
        found = cast(Results, pool(delayed(_result)(token, pickled, task) for task in tasks))
    try:
        for result in found:
            if isinstance(result, UserError):  # in its turn: what comes before it is not lost
                raise result
            yield result
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died, perhaps of too little memory: use fewer --processes"
        ) from error
    finally:
        with warnings.catch_warnings():  # of results that nobody wants any more
            warnings.simplefilter("ignore")
            found.close()


def _pickled(start: Start) -> bytes:
    """What every process begins with; files of the user's, which no process could import, go with it."""
    import cloudpickle

    modules = of_files()
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(start)
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


@contextmanager
def _signals_are_ours() -> Iterator[None]:
    """Let processes that are started inside take no notice of Ctrl-C, or of a cluster that preempts us.

    A process that a signal stops anywhere could leave the others waiting: this one stops them all.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


# ---- in a process of the pool ----


@lru_cache(maxsize=1)
def _started(token: _Token, pickled: bytes) -> Callable[[Any], Any]:
    """What computes the tasks of a pool."""
    import cloudpickle

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # this process may have replaced one that was idle
    _end_with(token.parent)
    return cloudpickle.loads(pickled)()


@lru_cache
def _end_with(parent: int) -> None:
    """Let this process end when its parent has been killed: nobody wants its results."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _result(token: _Token, pickled: bytes, task: Any) -> Any:
    try:
        return _started(token, pickled)(task)
    except UserError as error:
        return error
