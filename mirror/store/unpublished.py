"""`unpublished.jsonl`: files that were verified and are in no generation yet, so that no kill has them fetched again.

A batch is noted before its files get their names, so that none is there of which this does not know. Losing
it costs fetching those files again whose pages name no sha256, and nothing else; a line that a crash tore is
passed over.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from mirror.model.files import Pin
from mirror.model.holding import Holdings, all_files
from mirror.store.disk import write_all, write_pieces

_ENCODER = msgspec.json.Encoder()


def append(path: Path, pins: Sequence[Pin]) -> None:
    """Add `pins`, of one batch. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        write_all(descriptor, b"\n" + _ENCODER.encode_lines(pins))  # a line that was torn before stays alone
    finally:
        os.close(descriptor)


def read(path: Path) -> list[Pin]:
    """All that can be read, the newest first."""
    return [*_each(path)][::-1]


def forget(path: Path, holdings: Holdings, spare: Path) -> None:
    """Remove what `holdings` has; `spare` is a free name on the same file system. Raises OSError."""
    if not path.exists():
        return
    noted = {hash(pin.location) for pin in _each(path)}  # hashes, because a first night notes every file
    held = noted.intersection(hash(receipt.location) for receipt in all_files(*holdings.values()))
    keep(path, lambda pin: hash(pin.location) not in held, spare)


def keep(path: Path, wanted: Callable[[Pin], bool], spare: Path) -> None:
    """Remove all but what is `wanted`. Raises OSError."""
    wishes = [wanted(pin) for pin in _each(path)]
    if not any(wishes):
        path.unlink(missing_ok=True)
    elif not all(wishes):
        write_pieces(spare, map(_line, itertools.compress(_each(path), wishes)), 0o600)
        spare.replace(path)


def _each(path: Path) -> Iterator[Pin]:
    """All that can be read, the oldest first."""
    decoder = msgspec.json.Decoder(Pin)
    with suppress(OSError), path.open("rb") as lines:
        for line in lines:
            with suppress(msgspec.MsgspecError):
                yield decoder.decode(line)


def _line(pin: Pin) -> bytes:
    return _ENCODER.encode(pin) + b"\n"
