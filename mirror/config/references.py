"""Following one secret reference: a file, a systemd credential, a command or a variable.

Every reading is bounded in bytes and time, refuses a file that others can read, and cuts one final
newline. What could be read is returned or refused, never shown: an error names the index, the source
and what to do, and holds neither a secret nor a command's output.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import anyio
import anyio.to_thread
from anyio.abc import ByteReceiveStream

from mirror.config.private import Unfit, content
from mirror.config.sources import FromCommand, FromEnv, FromFile, FromSystemd, Reference
from mirror.errors import SecretUnavailable
from mirror.model.names import IndexName

MAX_SECRET = 64 * 1024  # bytes
COMMAND_SECONDS = 60.0

Environment = Mapping[bytes, bytes]


def unavailable(index: IndexName, source: object, what: str, instead: str) -> SecretUnavailable:
    """The error that says which secret of which index is missing, and what to do."""
    return SecretUnavailable(f"index {index}: {source}: {what}; {instead}")


async def read(
    index: IndexName, reference: Reference, environ: Environment, *, seconds: float = COMMAND_SECONDS
) -> bytes:
    """The secret that `reference` of `index` stands for; a command has `seconds` to end. Not empty.

    Raises `SecretUnavailable`.
    """
    if isinstance(reference, FromEnv):
        if value := environ.get(reference.variable.encode(), b""):
            return value
        raise unavailable(index, reference, "is not set, or empty", "set it to the secret")
    folder = environ.get(b"CREDENTIALS_DIRECTORY")
    match reference:
        case FromFile(path):
            private = not (folder and path.parent == Path(os.fsdecode(folder)))
            value = await anyio.to_thread.run_sync(_file, index, reference, path, private)
        case FromSystemd(name):
            if not folder:
                remedy = f"start this program from a unit with LoadCredential={name}"
                raise unavailable(index, reference, "CREDENTIALS_DIRECTORY is not set", remedy)
            value = await anyio.to_thread.run_sync(_file, index, reference, Path(os.fsdecode(folder), name), False)
        case _:
            value = await _command(index, reference, environ, seconds)
    value = _without_newline(value)
    if not value:
        raise unavailable(index, reference, "holds nothing", "put the secret there")
    return value


def read_private(index: IndexName, source: object, path: Path, limit: int, *, private: bool = True) -> bytes:
    """The content of the regular file `path`, at most `limit` bytes; `private` refuses what others can read.

    Blocks: call it on a thread. Raises `SecretUnavailable`, and OSError as it is.
    """
    try:
        return content(path, limit, private=private)
    except Unfit as error:
        raise unavailable(index, source, error.what, error.instead) from None


def _file(index: IndexName, source: Reference, path: Path, private: bool) -> bytes:
    try:
        return read_private(index, source, path, MAX_SECRET, private=private)
    except OSError as error:
        remedy = "make it a file that the user of this program can read"
        raise unavailable(index, source, f"cannot be read ({error.strerror})", remedy) from error


async def _command(index: IndexName, source: FromCommand, environ: Environment, seconds: float) -> bytes:
    # Not run_process: it would gather whatever a command prints, without a bound.
    output = bytearray()
    status: int | None = None
    with anyio.move_on_after(seconds):
        try:
            process = await anyio.open_process(
                source.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={os.fsdecode(key): os.fsdecode(value) for key, value in environ.items()},
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "NUL in an argument"
            remedy = "name a program that this user can run, and its arguments"
            raise unavailable(index, source, f"cannot be started ({reason})", remedy) from None
        async with process:
            async for chunk in cast("ByteReceiveStream", process.stdout):
                output += chunk
                if len(output) > MAX_SECRET:
                    process.kill()
                    break
            status = await process.wait()
    if len(output) > MAX_SECRET:
        raise unavailable(index, source, f"printed more than {MAX_SECRET} bytes", "let it print the secret alone")
    if status is None:
        raise unavailable(index, source, f"did not end within {seconds:g} seconds", "let it ask for nothing")
    if status != 0:
        remedy = "run it by hand as the same user to see its message"
        raise unavailable(index, source, f"failed with exit code {status}", remedy)
    return bytes(output)


def _without_newline(value: bytes) -> bytes:
    return value.removesuffix(b"\n").removesuffix(b"\r") if value.endswith(b"\n") else value
