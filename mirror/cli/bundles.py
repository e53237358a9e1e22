"""The commands that cross an air gap: `export`, `import` and `bundle show`."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import IO

import msgspec

from mirror.bundle.signing import SigningKey
from mirror.bundle.trust import Trust
from mirror.cli.commands import check_writable, configured
from mirror.cli.history import change_lines
from mirror.cli.output import bar, plain, print_json, say, size_text
from mirror.config.load import Settings, find_config
from mirror.config.settings import Intake
from mirror.errors import ConfigError, Problem, StoreError
from mirror.model.bundle import Bundle, Gone, ImportReceipt, Withdrawal, Yanked
from mirror.model.secret import scrub
from mirror.run.export import Exported, Wish, export
from mirror.run.imports import Importing, import_bundle
from mirror.run.night import interrupted
from mirror.run.report import Exit
from mirror.run.show import Shown, show
from mirror.run.taking import Line, Verdict

_MAKE_KEY = "make one with ssh-keygen -t ed25519 -N '' -f export-key, and name it with --sign or in [export]"
_MAKE_TRUST = "name a file with a line IDENTITY ssh-ed25519 AAAA..., with --trust or as trust in [import]"


def export_command(options: argparse.Namespace) -> int:
    """`mirror export`."""
    settings = configured(options)
    exporting = settings.export
    identity = options.identity if options.identity is not None else exporting.identity
    if identity is None:
        what = 'write for example identity = "outside.example.com", or name it with --identity'
        raise ConfigError([Problem("[export]", "the name of this side is missing", what)])
    sign = options.sign if options.sign is not None else exporting.sign
    key = None
    if not options.dry_run:
        if sign is None:
            raise ConfigError([Problem("--sign", "the key that signs is missing", _MAKE_KEY)])
        key = SigningKey.load(sign)
    wish = Wish(
        identity=identity,
        since=options.since,
        volume_size=options.volume_size if options.volume_size is not None else exporting.volume_size,
        lifetime=exporting.expires,
        now=_now(),
    )
    with _unwound_by_sigterm(), bar("export", quiet=options.quiet) as progress:
        target = None if options.dry_run else options.directory.absolute()
        done = export(settings.root, wish, target, key, progress)
    if options.json:
        print_json(done)
    elif not options.quiet:
        _print_exported(done)
        print("dry run: nothing was written" if options.dry_run else f"written to {options.directory}")
    if not (done.kept or options.dry_run):
        say("nothing can be written to state/exported, so --since knows this bundle only while its generation is kept")
    return Exit.COMPLETE


@contextmanager
def _unwound_by_sigterm() -> Iterator[None]:
    """Have SIGTERM end the block as an error does, so that what was written is removed."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(Exit.TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def import_command(options: argparse.Namespace) -> int:
    """`mirror import`."""
    settings = configured(options)
    trust = _trust(options, settings.intake)
    scan = settings.intake.scan
    if scan and shutil.which(scan[0]) is None:
        raise ConfigError([Problem("[import] scan", f"there is no program {scan[0]}", "install it, or name its path")])
    if options.receipt is not None and options.receipt == options.audit:
        raise ConfigError([Problem("--audit", "the receipt is written there", "name another file")])
    check_writable("--receipt", options.receipt)
    with _appended(options.audit) as audit, bar("import", quiet=options.quiet) as progress:
        done = import_bundle(
            Importing(
                root=settings.root,
                min_free=settings.min_free,
                directory=options.directory.absolute(),
                trust=trust,
                intake=settings.intake,
                now=datetime.now(UTC),
            ),
            _auditing(audit),
            progress,
        )
    if done.receipt is None:
        say("interrupted: nothing was published; the same import goes on where it was")
        return interrupted(done.interrupted) if done.interrupted is not None else Exit.FAILED
    if not options.quiet:
        came = {verdict: done.blobs.get(verdict, 0) for verdict in (Verdict.IMPORTED, Verdict.PRESENT)}
        say(", ".join(f"{count} blobs {verdict}" for verdict, count in came.items()))
        for line in change_lines(done.changes):
            say(line)
        code, generation = done.receipt.code, done.receipt.generation
        say(f"published as generation {generation}; the receipt for the next --since: {code}")
    return _hand_over(done.receipt, options.receipt)


def bundle_show_command(options: argparse.Namespace) -> int:
    """`mirror bundle show`."""
    settings = _settings_if_any(options)
    trust = _trust(options, settings.intake if settings is not None else None)
    root = settings.root if settings is not None else options.root
    with bar("verify", quiet=options.quiet) as progress:
        shown = show(options.directory.absolute(), trust, root, datetime.now(UTC), progress)
    if options.json:
        print_json(shown)
    else:
        _print_shown(shown)
    here = shown.here
    return Exit.FAILED if here is not None and (here.missing or here.refused is not None) else Exit.COMPLETE


def _settings_if_any(options: argparse.Namespace) -> Settings | None:
    """The configuration; None where there is none, as on a machine that only looks at bundles. Raises `ConfigError`."""
    named = options.config is not None or options.from_uv is not None
    return configured(options) if named or find_config() is not None else None


def _trust(options: argparse.Namespace, intake: Intake | None) -> Trust:
    """Raises `ConfigError` and `BundleError`."""
    path = options.trust if options.trust is not None or intake is None else intake.trust
    if path is None:
        raise ConfigError([Problem("--trust", "nobody is trusted", _MAKE_TRUST)])
    return Trust.load(path)


def _now() -> datetime:
    """Now, in whole seconds; or what SOURCE_DATE_EPOCH says, so that a bundle can be made again.

    Raises `ConfigError`.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if text is None:
        return datetime.now(UTC).replace(microsecond=0)
    if not re.fullmatch(r"[0-9]{1,11}", text):  # before the year 5139
        what = "it is no time in seconds since 1970"
        raise ConfigError([Problem("SOURCE_DATE_EPOCH", what, "remove it, or see reproducible-builds.org")])
    return datetime.fromtimestamp(int(text), UTC)


@contextmanager
def _appended(file: str | None) -> Iterator[IO[str] | None]:
    """The file to write to after what it has; None: none is wanted. Raises `ConfigError`."""
    if file is None:
        yield None
    elif file == "-":
        yield sys.stdout
    else:
        try:
            opened = Path(file).open("a", encoding="utf-8")  # noqa: SIM115 - closed below; only the opening is to be refused here
        except OSError as error:
            raise ConfigError([Problem(file, f"cannot be written: {error.strerror}", "name another file")]) from error
        try:
            yield opened
        finally:
            with suppress(OSError):  # each line was flushed, or nothing was published
                opened.close()


def _hand_over(receipt: ImportReceipt, file: str | None) -> Exit:
    """Write the receipt where it is wanted; the import is done all the same."""
    try:
        if file == "-":
            print(receipt.encode().decode(), end="", flush=True)
        elif file is not None:
            Path(file).write_bytes(receipt.encode())
    except OSError as error:
        say(f"the receipt cannot be written to {file}: {error.strerror}; it is in the root's state/imports")
        return Exit.INCOMPLETE
    return Exit.COMPLETE


def _auditing(audit: IO[str] | None) -> Callable[[Line], None]:
    def note(line: Line) -> None:
        if audit is not None:
            try:
                audit.write(msgspec.json.encode(line).decode() + "\n")
                audit.flush()  # now, because nothing is published without its audit
            except OSError as error:
                raise StoreError(f"the audit cannot be written: {error.strerror}; nothing was published") from error

    return note


def _print_exported(done: Exported) -> None:
    _print_bundle(done.bundle)
    for index, count in done.files.items():
        print(f"index {index}: {count} blobs")
    _print_withdrawn(done.withdrawn)


def _print_shown(shown: Shown) -> None:
    _print_bundle(shown.bundle)
    print(f"signed by {shown.key}; every signature, list and blob is right")
    for index, part in shown.indexes.items():
        carried = f"{len(part.carried)} files ({size_text(part.carried_size)}) carried"
        print(f"index {index}: {carried}; {part.projects} projects and {part.files} files afterwards")
        for receipt in part.carried:
            print(f"  {receipt.project} {receipt.filename} {receipt.size} sha256={receipt.sha256}")
    _print_withdrawn(shown.withdrawn)
    for name in shown.strangers:
        print(f"not of the bundle, not looked at, and not imported: {name}")
    if shown.here is None:
        return
    print("here an import would change:")
    for line in change_lines(shown.here.changes):
        print(scrub(line))
    if shown.here.missing:
        print(f"it would be refused: {shown.here.missing} blobs that it needs are neither carried nor here")
    if shown.here.refused is not None:
        print(f"it would be refused: {shown.here.refused}")


def _print_bundle(bundle: Bundle) -> None:
    base = "nothing" if bundle.base is None else f"generation {bundle.base.generation} ({bundle.base.code})"
    print(f"bundle of {bundle.identity}, made {bundle.time}, expires {bundle.expires}, sequence {bundle.sequence}")
    print(f"generation {bundle.target.generation} ({bundle.target.code}), from {base}")
    carried = f"{bundle.carried.count} blobs ({size_text(bundle.carried.bytes)}) carried"
    print(f"{carried}, {bundle.required} required, {bundle.withdrawn} withdrawals")


def _print_withdrawn(withdrawn: Iterable[Withdrawal]) -> None:
    for line in withdrawn:
        if isinstance(line, Gone):
            text = f"- {line.file} sha256={line.sha256}"
        elif isinstance(line, Yanked):
            text = f"! {line.file}: yanked: {line.reason or 'no reason is given'}"
        else:
            text = f"! {line.status.status}: {line.status.reason or 'no reason is given'}"
        print(plain(f"index {line.index}, project {line.project}: {text}"))
