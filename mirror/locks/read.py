"""Which tool wrote a lock, told from its content, and reading it all the same.

`requirements.txt` names further files; everything else is one document.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mirror.errors import Problem
from mirror.locks import pdm, poetry, pylock, requirements, uv
from mirror.locks.reading import Reading
from mirror.locks.requirements import Load
from mirror.model.locks import Lock

_Read = Callable[[dict[str, Any], Reading], None]
_TOML = (".lock", ".toml")


def read(file: Path, load: Load) -> Lock | list[Problem]:
    """The lock `file`, or all that is wrong with it; `load` has the content of the files that are named."""
    if not file.name.endswith(_TOML):
        reading = Reading(file, "pip")
        requirements.read(reading, load)
        return reading.problems or reading.lock()
    reading = Reading(file, "a lock")
    document = load(file)
    if isinstance(document, str):
        reading.problem("", document, "name a file that exists and that this user can read")
        return reading.problems
    tables = reading.toml(document)
    if tables is None:
        return reading.problems
    tool, reader = _reader(tables)
    if reader is None:
        instead = "name a uv.lock, pylock.toml, poetry.lock, pdm.lock or requirements.txt"
        reading.problem("", "is not a lock of a kind that is known", instead)
        return reading.problems
    reading.tool = tool
    reader(tables, reading)
    return reading.problems or reading.lock()


def _reader(tables: dict[str, Any]) -> tuple[str, _Read | None]:
    """Whose lock it is: by the key that its format's number stands in."""
    metadata = tables.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    if "lock-version" in tables:
        return "pylock.toml", pylock.read
    if "lock-version" in metadata:
        return "poetry", poetry.read
    if "lock_version" in metadata:
        return "PDM", pdm.read
    return ("uv", uv.read) if "version" in tables else ("", None)
