"""What cannot be done to a process from outside without root is done by a module that its Python loads first.

A `sitecustomize` on the child's PYTHONPATH plays the resolver's failures, and a defect inside the HTTP library.
Nothing here is imported by the tests' own process, and nothing else of the child is changed.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.site import Site

_LOOKUPS = """
import socket

_resolve, _left = socket.getaddrinfo, [{times}]


def getaddrinfo(host, *arguments, **keywords):
    if host not in ({name!r}, {name!r}.encode()):
        return _resolve(host, *arguments, **keywords)
    if _left[0]:
        _left[0] -= 1
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _resolve("127.0.0.1", *arguments, **keywords)


socket.getaddrinfo = getaddrinfo
"""

_DEFECT = """
from mirror.net.http1 import Http1Transport

_handle = Http1Transport.handle_async_request


async def handle_async_request(self, request):
    if b"/first/" in request.extensions["target"]:
        raise RuntimeError(f"a defect with everything in its hands: {{request.headers.raw}}")
    return await _handle(self, request)


Http1Transport.handle_async_request = handle_async_request
"""


_RENAMING = """
import os
import signal
import threading


def _struck(function):
    def rename(source, target, **keywords):
        if os.fspath(target).endswith({name!r}):
            {act}
        return function(source, target, **keywords)

    return rename


os.rename, os.replace = _struck(os.rename), _struck(os.replace)
"""
_OPENING = """
import os
import pathlib
import signal

from mirror.run import imports

_open_bundle = imports.open_bundle


def open_bundle(*arguments):
    opened = _open_bundle(*arguments)
    {act}
    return opened


imports.open_bundle = open_bundle
"""
_COPYING = """
import os

from mirror.bundle.reading import Source

_pieces, _left = Source.pieces, [{number}]


def pieces(self):
    for piece in _pieces(self):
        if _left:
            os.kill(os.getpid(), _left.pop())
        yield piece


Source.pieces = pieces
"""
THE_GENERATION, THE_SWITCH = "/gen/000002", "/public/current"
"""What is renamed when a stage's second generation is complete, and when it is switched to."""


def lookups_that_fail_at_first(site: Site, name: str, times: int) -> AbstractContextManager[None]:
    """The resolver fails this often for `name`, and then leads it to this machine."""
    return _loaded(site, _LOOKUPS.format(name=name, times=times))


def a_defect_that_knows_the_secret(site: Site) -> AbstractContextManager[None]:
    """Every request to `first` raises an error whose message holds its headers, credentials and all."""
    return _loaded(site, _DEFECT.format())


def signal_at(site: Site, name: str, number: signal.Signals) -> AbstractContextManager[None]:
    """The process gets a signal just before something gets a name that ends like this."""
    return _loaded(site, _RENAMING.format(name=name, act=f"os.kill(os.getpid(), {int(number)})"))


def halt_at(site: Site, name: str) -> AbstractContextManager[None]:
    """The process stops for good just before something gets a name that ends like this."""
    return _loaded(site, _RENAMING.format(name=name, act="threading.Event().wait()"))


def after_opening(site: Site, act: str) -> AbstractContextManager[None]:
    """An import does this when the bundle is verified but for its blobs, of which none was copied yet."""
    return _loaded(site, _OPENING.format(act=act))


def at_first_piece(site: Site, number: signal.Signals) -> AbstractContextManager[None]:
    """The process gets a signal when it has read the first bytes of a blob of a bundle."""
    return _loaded(site, _COPYING.format(number=int(number)))


@contextmanager
def _loaded(site: Site, code: str) -> Iterator[None]:
    directory = site.directory / "tools" / "shim"
    directory.mkdir(exist_ok=True, parents=True)
    (directory / "sitecustomize.py").write_text(code)
    before = site.process_environment["PYTHONPATH"]
    site.environ["PYTHONPATH"] = f"{directory}:{before}"
    yield
    del site.environ["PYTHONPATH"]
