"""Reads the large pickle of a NAS-Bench-201 file by one architecture at a time, calling nothing it names."""

import mmap
import re
import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

import numpy as np


class Refused(Exception):
    """A pickle names something that is not on the list."""

    def __init__(self, name: str):
        super().__init__(f"it names {name}, which is not allowed")


class Dropped:
    """Stands in for what no query needs, such as a tensor, and takes whatever a pickle does to it."""

    def __init__(self, *args: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


class Fields(dict):
    """A dict whose items may still be unread: `unread` are the places of their opcodes, from and to."""

    def __init__(self, *_factory: Any):
        super().__init__()
        self.unread: list[tuple[int, int]] = []

    def __setstate__(self, state: Any) -> None:
        pass  # attributes, such as a state dict's metadata


class _Dtype:
    """numpy.dtype, as far as numbers need it."""

    def __init__(self, code: str, *_: Any):
        if not re.fullmatch(r"[biuf][1248]", code):
            raise ValueError(f"numbers of the type {code}")
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.code = {"<": "<", ">": ">", "=": "=", "|": "="}[state[1]] + self.code[-2:]


# these are classes, since a pickle could give attributes to a function
class _Scalar(Dropped):
    def __new__(cls, dtype: _Dtype, data: bytes) -> Any:
        return np.frombuffer(data, dtype.code)[0].item()


class _Encode(Dropped):
    def __new__(cls, text: str, encoding: str) -> Any:
        if encoding != "latin1":
            raise ValueError(f"bytes in {encoding}")
        return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): Fields,
    ("collections", "defaultdict"): Fields,
    ("_codecs", "encode"): _Encode,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): Dropped,
    ("torch", "Size"): Dropped,
    ("torch.storage", "_load_from_bytes"): Dropped,
    **{(f"numpy.{core}.multiarray", "scalar"): _Scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): Dropped for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): Dropped for core in ("core", "_core")},
    **{(module, name): Dropped for module in ("builtins", "__builtin__") for name in ("list", "dict")},
    **{(module, name): Dropped for module in ("builtins", "__builtin__") for name in ("int", "float", "set")},
}


def stand_in(module: str, name: str) -> Callable[..., Any]:
    """What stands in for a global of a pickle; Refused for one that is not on the list."""
    if (module, name) in _ALLOWED:
        return _ALLOWED[module, name]
    storage = module in ("torch", "torch.storage") and name.endswith("Storage")
    if storage or (module == "torch._utils" and name.startswith("_rebuild_")):
        return Dropped
    raise Refused(f"{module}.{name}")


# opcodes that push a number (numpy's, too) or a short text, or have to do with the memo: of such are the
# dicts made that hold a number for each epoch, nearly all of a file
_TEXTS = b"|".join(b"X" + re.escape(bytes([n])) + rb"\x00\x00\x00.{%d}" % n for n in range(1, 41))
_PUSH = rb"K.|G.{8}|M..|J.{4}|N|\x88|\x89|h.|j.{4}|\x86|R|" + _TEXTS
_ATOM = re.compile(_PUSH + rb"|q.|r.{4}", re.DOTALL)
_FILLED = re.compile(b"(?:" + _PUSH + rb"|q.|r.{4})*u", re.DOTALL)
_FIRST_PUT = re.compile(b"(?:" + _PUSH + rb")*[qr]", re.DOTALL)

# what stands behind a key if it is a number
_VALUE = re.compile(rb"(?:q.|r.{4})?G(.{8})", re.DOTALL)

_CONTAINERS = (Fields, list, set, Dropped)
_WINDOW = 2**26  # bytes of the file that stay in memory


class LeanUnpickler:
    """Loads pickles of protocol 2, as torch.save makes them, from a mapped file.

    Dicts of plain numbers are skipped over, and read when `opened` asks for one. Whenever items are set of
    a dict that has a dict under `key`, `reduce` is told that and gives what stays of it; all else that the
    outer dict holds is forgotten. What `load` raises of a damaged file may be anything.
    """

    def __init__(
        self, data: mmap.mmap, position: int, key: str, reduce: Callable[[Any, "LeanUnpickler"], Any]
    ):
        self.data, self.position = data, position
        self._key, self._reduce = key, reduce
        self._released = 0
        self._start()

    def _start(self) -> None:
        self._memo: dict[int, Any] = {}
        self._containers: list[int] = []  # of the memo, since something was forgotten
        # unread items: the first number that they put into the memo, from, to
        self._puts, self._from, self._to = array("Q"), array("Q"), array("Q")
        self._read: dict[int, dict[int, Any]] = {}

    def opened(self, held: Any) -> Any:
        """A value, with all its items if it is a dict."""
        if isinstance(held, Fields):
            for start, end in held.unread:
                pushed, _ = self._pushed(start, end)
                held.update(zip(pushed[::2], pushed[1::2], strict=True))
            held.unread.clear()
        return held

    def item(self, held: Any, key: str) -> Any:
        """The value of a short key of a dict, where it can be without reading the others."""
        wanted = b"X" + len(key).to_bytes(4, "little") + key.encode()
        for start, end in held.unread if isinstance(held, Fields) else ():
            place = self.data.find(wanted, start, end)
            found = _VALUE.match(self.data, place + len(wanted), end) if place >= 0 else None
            if found is not None:
                return struct.unpack(">d", found[1])[0]
        return self.opened(held)[key]

    def _pushed(self, start: int, end: int) -> tuple[list[Any], dict[int, Any]]:
        """The values that some plain opcodes push, and those that they put into the memo."""
        pushed: list[Any] = []
        puts: dict[int, Any] = {}
        for found in _ATOM.finditer(self.data, start, end):
            atom = found.group()
            op, rest = atom[:1], atom[1:]
            if op == b"G":
                pushed.append(struct.unpack(">d", rest)[0])
            elif op in b"KM":
                pushed.append(int.from_bytes(rest, "little"))
            elif op in b"qr":
                puts[int.from_bytes(rest, "little")] = pushed[-1]
            elif op in b"hj":
                number = int.from_bytes(rest, "little")
                pushed.append(puts[number] if number in puts else self._get(number))
            elif op == b"X":
                pushed.append(rest[4:].decode())
            elif op == b"J":
                pushed.append(int.from_bytes(rest, "little", signed=True))
            elif op == b"\x86":
                pushed[-2:] = [tuple(pushed[-2:])]
            elif op == b"R":
                arguments = pushed.pop()
                pushed[-1] = pushed[-1](*arguments)
            else:
                pushed.append({b"N": None, b"\x88": True, b"\x89": False}[op])
        return pushed, puts

    def _get(self, number: int) -> Any:
        if number in self._memo:
            return self._memo[number]
        place = bisect_right(self._puts, number) - 1
        if place < 0:
            return Dropped()
        if place not in self._read:
            self._read[place] = self._pushed(self._from[place], self._to[place])[1]
        return self._read[place].get(number, Dropped())  # a container that was forgotten

    def _put(self, number: int, value: Any) -> None:
        self._memo[number] = value
        if isinstance(value, _CONTAINERS):
            self._containers.append(number)

    def _skip(self, start: int, end: int, into: Fields) -> None:
        into.unread.append((start, end))
        if (found := _FIRST_PUT.match(self.data, start, end)) is not None:
            size = 1 if self.data[found.end() - 1] == ord("q") else 4
            self._puts.append(int.from_bytes(self.data[found.end() : found.end() + size], "little"))
            self._from.append(start)
            self._to.append(end)

    def _filled(self, held: Any, pushed: list[Any]) -> None:
        """Set items of a dict, and forget all it held if it is one that is reduced."""
        for key, value in zip(pushed[::2], pushed[1::2], strict=True):
            held[key] = value
        if isinstance(held, Fields) and isinstance(held.get(self._key), Fields):
            reduced = self._reduce(held[self._key], self)
            held.clear()
            held[self._key] = reduced
            for number in self._containers:
                del self._memo[number]
            self._containers.clear()
            self._read.clear()
            if self.position - self._released > _WINDOW:
                self._released = self.position // mmap.PAGESIZE * mmap.PAGESIZE
                self.data.madvise(mmap.MADV_DONTNEED, 0, self._released)

    def load(self) -> Any:
        """The object of the pickle at `position`, which moves behind it."""
        self._start()
        data, position = self.data, self.position
        stack: list[Any] = []
        marks: list[int] = []

        def argument(size: int) -> bytes:
            nonlocal position
            position += size
            if position > len(data):
                raise EOFError
            return data[position - size : position]

        def number(size: int, signed: bool = False) -> int:
            return int.from_bytes(argument(size), "little", signed=signed)

        def line() -> str:
            nonlocal position
            start, position = position, data.find(b"\n", position) + 1
            if not position:
                raise EOFError
            return data[start : position - 1].decode()

        def popped() -> list[Any]:
            mark = marks.pop()
            found = stack[mark:]
            del stack[mark:]
            return found

        while True:
            op = argument(1)
            if op == b"(":
                plain = _FILLED.match(data, position) if stack and isinstance(stack[-1], Fields) else None
                if plain is None:
                    marks.append(len(stack))
                else:
                    self._skip(position, plain.end() - 1, stack[-1])
                    position = plain.end()
            elif op == b"q":
                self._put(number(1), stack[-1])
            elif op == b"r":
                self._put(number(4), stack[-1])
            elif op == b"h":
                stack.append(self._get(number(1)))
            elif op == b"j":
                stack.append(self._get(number(4)))
            elif op == b"X":
                stack.append(sys.intern(argument(number(4)).decode("utf-8", "surrogatepass")))
            elif op == b"G":
                stack.append(struct.unpack(">d", argument(8))[0])
            elif op == b"K":
                stack.append(number(1))
            elif op == b"M":
                stack.append(number(2))
            elif op == b"J":
                stack.append(number(4, signed=True))
            elif op == b"\x8a":
                stack.append(number(number(1), signed=True))
            elif op in b"N\x88\x89":
                stack.append({b"N": None, b"\x88": True, b"\x89": False}[op])
            elif op == b"}":
                stack.append(Fields())
            elif op == b"]":
                stack.append([])
            elif op == b")":
                stack.append(())
            elif op == b"t":
                stack.append(tuple(popped()))
            elif op in b"\x85\x86\x87":
                size = op[0] - 0x84
                stack[-size:] = [tuple(stack[-size:])]
            elif op in b"su":
                pushed = popped() if op == b"u" else [stack.pop(-2), stack.pop()]
                self.position = position
                self._filled(stack[-1], pushed)
            elif op in b"ae":
                pushed = popped() if op == b"e" else [stack.pop()]
                if not isinstance(stack[-1], Dropped):
                    stack[-1].extend(pushed)
            elif op == b"c":
                stack.append(stand_in(line(), line()))
            elif op in b"R\x81":
                arguments = stack.pop()
                stack[-1] = stack[-1](*arguments)
            elif op == b"b":
                state = stack.pop()
                stack[-1].__setstate__(state)
            elif op == b"Q":
                stack[-1] = Dropped()  # a tensor's numbers
            elif op in b"UT":
                stack.append(argument(number(1 if op == b"U" else 4)).decode("latin1"))
            elif op == b"\x80":
                if number(1) != 2:
                    raise ValueError("a protocol other than 2")
            elif op == b".":
                self.position = position
                return stack.pop()
            else:
                raise ValueError(f"opcode {op!r}")
