"""The two places that hold credentials of many servers: netrc and the system's keyring.

Both are asked only for an index that opted in (C9, C11), and only for that index's own URL with its
port. netrc's `default` entry, which would answer for every host, is never used; neither is an entry
for another user than the configured one.
"""

from __future__ import annotations

import netrc
import os
from functools import partial
from pathlib import Path

import anyio.to_thread

from mirror.config.references import Environment, read_private, unavailable
from mirror.model.index import Index
from mirror.model.urls import DEFAULT_PORTS, Origin

_MAX_NETRC = 1024 * 1024  # bytes


async def from_netrc(index: Index, username: bytes | None, environ: Environment) -> tuple[bytes, bytes] | None:
    """User name and password of `index` in the netrc file, or None. Raises `SecretUnavailable`."""
    path = _netrc_path(environ)
    if path is None:
        return None
    entry = await anyio.to_thread.run_sync(partial(_netrc_entry, index, path))
    if entry is None:
        return None
    login, password = entry
    if not password or (username is not None and login not in (b"", username)):
        return None
    return login or username or b"", password


async def from_keyring(index: Index, username: bytes | None, service: str) -> tuple[bytes, bytes] | None:
    """User name and password that the keyring has for `service`, or None. Raises `SecretUnavailable`."""
    # A thread, because a keyring may ask its daemon over D-Bus or run a program.
    return await anyio.to_thread.run_sync(partial(_keyring_entry, index, username, service))


def _netrc_path(environ: Environment) -> Path | None:
    if named := environ.get(b"NETRC"):
        return Path(os.fsdecode(named))
    home = environ.get(b"HOME")
    return Path(os.fsdecode(home), ".netrc") if home else None


def _netrc_entry(index: Index, path: Path) -> tuple[bytes, bytes] | None:
    source = f"netrc {path}"
    try:
        read_private(index.name, source, path, _MAX_NETRC)
        entries = netrc.netrc(str(path)).hosts
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unavailable(index.name, source, f"cannot be read ({error.strerror})", "let this user read it") from None
    except UnicodeDecodeError:
        failure = unavailable(index.name, source, "is not UTF-8", "save it as UTF-8")
    except netrc.NetrcParseError as error:
        failure = unavailable(index.name, source, f"cannot be parsed (line {error.lineno})", "correct that line")
    else:
        machine = _machine(index.url.origin)
        entry = entries.get(machine) if machine != "default" else None
        return (entry[0].encode(), (entry[2] or "").encode()) if entry else None
    raise failure  # out here, because a parser's error quotes the file and would be its context


def _machine(origin: Origin) -> str:
    """The host as netrc names it: with the port when it is not the scheme's own."""
    if origin.port == DEFAULT_PORTS[origin.scheme]:
        return origin.host
    return str(origin).partition("://")[2]


def _keyring_entry(index: Index, username: bytes | None, service: str) -> tuple[bytes, bytes] | None:
    kind: str | None = None
    try:
        import keyring

        found = keyring.get_credential(service, None if username is None else username.decode(errors="replace"))
        pair = (found.username.encode(), found.password.encode()) if found and found.password else None
    except ImportError as error:
        remedy = "run: pip install 'index-mirror[keyring]'"
        raise unavailable(index.name, "keyring", "the package is not installed", remedy) from error
    except Exception as error:  # noqa: BLE001 - backends are plugins and raise what they like, also when imported
        kind = type(error).__name__
    if kind is not None:
        remedy = "unlock the keyring, or give the credentials in another way"
        raise unavailable(index.name, "keyring", f"the backend failed ({kind})", remedy)
    return None if pair is None or (username is not None and pair[0] != username) else pair
