"""`mirror clients`: what those who install from the trees put into their tools' files; data goes to standard output."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mirror.cli.commands import configured
from mirror.cli.output import say
from mirror.errors import ConfigError, InvalidUrl, Problem
from mirror.locks.relocate import Relocation
from mirror.plan.clients import Base, base_url, settings
from mirror.run.clients import places, published
from mirror.run.report import Exit
from mirror.store.manifest import State

_NAMED = 20  # files of a lock that no tree has


def clients_command(options: argparse.Namespace) -> int:
    """`mirror clients`."""
    try:
        base = base_url(options.base_url)
    except InvalidUrl as error:
        instead = "write where public/current is served, for example https://mirror.example.com"
        raise ConfigError([Problem("--base-url", str(error), instead)]) from error
    state = published(configured(options).root)
    if options.rewrite is not None:
        return _rewrite(options.rewrite, state, base)
    texts = settings(state.header.trees, base)
    sys.stdout.write("\n".join(texts.values()) if options.tool is None else texts[options.tool])
    return Exit.COMPLETE


def _rewrite(file: Path, state: State, base: Base) -> int:
    """Print the lock `file` with URLs of the trees; what they do not have is said, and makes it incomplete."""
    try:
        document = file.read_bytes()
    except OSError as error:
        raise ConfigError([Problem(f"--rewrite {file}", f"cannot be read: {error.strerror}", "name a lock")]) from error
    lock = Relocation(file, document)
    made = None if lock.problems else lock.to(places(state, base, lock.wanted))
    if made is None:
        raise ConfigError(list(lock.problems))
    sys.stdout.write(made.text)
    for name in made.missing[:_NAMED]:
        say(f"{file}: no tree has {name} with this digest, so its URL is as it was")
    say(f"{file}: {made.moved} URLs lead to the trees, {len(made.missing)} are as they were")
    return Exit.INCOMPLETE if made.missing else Exit.COMPLETE
