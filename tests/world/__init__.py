"""A world to test in: servers on real sockets that speak the real protocol, and real installers."""

from tests.world.credentials import Credential
from tests.world.index import Index
from tests.world.messages import (
    Answer,
    Close,
    Drip,
    Endless,
    Entry,
    Fault,
    Gate,
    Hang,
    Raw,
    Reply,
    Request,
    Reset,
)
from tests.world.origins import Origin
from tests.world.server import World

__all__ = [
    "Answer",
    "Close",
    "Credential",
    "Drip",
    "Endless",
    "Entry",
    "Fault",
    "Gate",
    "Hang",
    "Index",
    "Origin",
    "Raw",
    "Reply",
    "Request",
    "Reset",
    "World",
]
