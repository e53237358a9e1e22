"""`mirror`: arguments in, an exit code out. No traceback reaches a user without `-v`."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import resource
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from mirror import __version__
from mirror.errors import Busy, ConfigError, InvalidName, MirrorError

_DESCRIPTORS = 16_384
_MODULES = {
    "demo": "demo",
    "generations": "history",
    "diff": "history",
    "rollback": "history",
    "gc": "history",
    "verify": "verify",
    "export": "bundles",
    "import": "bundles",
    "bundle_show": "bundles",
    "clients": "clients",
}
"""Where the commands are that are not in `commands`."""
_EXIT_CODES = """exit codes: 0 complete; 1 failed, nothing new was published; 2 usage or configuration;
3 published, but something is held or incomplete (the report says what); 75 another run holds the lock;
130, 143 interrupted, a rerun continues"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what others wrote, on a terminal that lacks the letters
    os.umask(0o022)  # what is published is for a web server to read; private files set their own mode
    _allow_descriptors()
    from mirror.cli.output import say
    from mirror.run.report import Exit

    try:
        code: int = options.run(options)
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
    except (ConfigError, InvalidName) as error:
        say(str(error))
        code = Exit.USAGE
    except Busy as error:
        say(str(error))
        code = Exit.BUSY
    except MirrorError as error:
        say(f"failed: {error}")
        code = Exit.FAILED
    except BrokenPipeError:
        sys.stdout = None
        code = Exit.FAILED
    except OSError as error:  # standard output, a report, the demonstration's directory: the others are mapped
        say(f"failed: {error.filename or 'writing the output'}: {error.strerror}")
        code = Exit.FAILED
    except Exception as error:  # noqa: BLE001 - the last handler: a defect ends the run with a clear line
        say(f"failed: this is a defect of index-mirror, please report it: {type(error).__name__}; -v shows more")
        if options.verbose:
            say("".join(traceback.format_exception(error)))
        code = Exit.FAILED
    return code


def _directory(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("it is empty; name a directory")
    return Path(text)


def _duration(text: str) -> float:
    from mirror.config.durations import duration

    try:
        return duration(float(text) if text.isdecimal() else text)
    except ValueError:
        raise argparse.ArgumentTypeError("it is no time; write for example 30m, 6h or 3d") from None


def _size(text: str) -> int:
    from mirror.config.sizes import size

    try:
        return size(int(text) if text.isdecimal() else text)
    except ValueError:
        raise argparse.ArgumentTypeError("it is no size; write for example 650MB, 4GB or 4GiB") from None


def _identity(text: str) -> str:
    import msgspec

    from mirror.model.bundle import Identity

    try:
        return msgspec.convert(text, type=Identity)
    except msgspec.ValidationError:
        what = "it is no name of an exporting side; use 1 to 128 ASCII letters, digits, '@', '.', '_', '+' and '-'"
        raise argparse.ArgumentTypeError(what) from None


def _number(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text[:12]) < 10**9:
        raise argparse.ArgumentTypeError("it is no number from 1")
    return int(text)


def _allow_descriptors() -> None:
    """Fifty indexes keep more connections than the usual soft limit of 1,024 files; the hard one allows them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _DESCRIPTORS:
        most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mirror",
        description="Mirror several private Python package indexes into one local tree, "
        "each file with its own index's credentials.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"index-mirror {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-c", "--config", type=Path, metavar="FILE", help="mirror.toml (default: here, user, system)")
    common.add_argument("--from-uv", type=Path, metavar="FILE", help="take the indexes of a pyproject.toml or uv.toml")
    common.add_argument("--root", type=_directory, metavar="DIR", help="the mirror's directory (default: the file's)")
    some = argparse.ArgumentParser(add_help=False)
    some.add_argument("--index", action="append", metavar="NAME", help="only this index (repeatable)")
    talk = argparse.ArgumentParser(add_help=False)
    talk.add_argument("-q", "--quiet", action="store_true", help="only what needs an operator: refusals and failures")
    loud = argparse.ArgumentParser(add_help=False)
    loud.add_argument("-v", "--verbose", action="store_true", help="every page and file, and tracebacks")

    sync = commands.add_parser(
        "sync", parents=[common, some, talk, loud], help="the nightly job: crawl, fetch, verify, publish"
    )
    sync.add_argument("--dry-run", action="store_true", help="read the pages, fetch and change nothing")
    sync.add_argument(
        "--explain", metavar="PROJECT", help="with --dry-run: every file of this project, kept or dropped, and why"
    )
    sync.add_argument(
        "--plan",
        metavar="FILE",
        help="with --dry-run: write the plan there as JSON, - for standard output; without: do exactly that or nothing",
    )
    sync.add_argument("--report", metavar="FILE", help="write the JSON report there; - for standard output")
    sync.add_argument(
        "--accept-shrink",
        action="append",
        default=[],
        metavar="INDEX",
        help="withdraw from this index what its pages no longer list, however much it is (repeatable)",
    )
    sync.add_argument(
        "--accept-changed",
        action="append",
        default=[],
        metavar="INDEX/FILE",
        help="take the bytes that this index now has under a file's name (repeatable)",
    )
    sync.add_argument(
        "--max-duration", type=_duration, metavar="TIME", help="begin nothing new after this time, such as 6h"
    )
    sync.set_defaults(run=_command("sync"))

    check = commands.add_parser(
        "check", parents=[common, some, loud], help="the configuration, and one look at each index"
    )
    check.set_defaults(run=_command("check"))

    status = commands.add_parser("status", parents=[common, loud], help="what is published, and how the last run went")
    status.add_argument("--json", action="store_true", help="as JSON on standard output")
    status.add_argument(
        "--max-age",
        type=_duration,
        metavar="TIME",
        help="fail when the newest import was exported longer ago, such as 7d (default: of [import])",
    )
    status.set_defaults(run=_command("status"))

    generations = commands.add_parser("generations", parents=[common, loud], help="the published states that are kept")
    generations.add_argument("--json", action="store_true", help="as JSON on standard output")
    generations.set_defaults(run=_command("generations"))

    diff = commands.add_parser("diff", parents=[common, loud], help="what changed from one generation to another")
    diff.add_argument("before", type=_number, metavar="A", help="a generation's number")
    diff.add_argument("after", type=_number, nargs="?", metavar="B", help="another one (default: the served one)")
    diff.add_argument("--json", action="store_true", help="as JSON on standard output")
    diff.set_defaults(run=_command("diff"))

    rollback = commands.add_parser(
        "rollback", parents=[common, loud], help="publish the content of an older generation again"
    )
    rollback.add_argument("number", type=_number, metavar="N", help="its number; see mirror generations")
    rollback.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")
    rollback.set_defaults(run=_command("rollback"))

    gc = commands.add_parser("gc", parents=[common, loud], help="remove what no kept generation needs")
    gc.add_argument("--keep", type=_number, metavar="N", help="generations to keep (default: of [retention], 7)")
    gc.add_argument(
        "--grace", type=_duration, metavar="TIME", help="keep what was served within this time (default: 3d)"
    )
    gc.add_argument("--dry-run", action="store_true", help="say what would go, and remove nothing")
    gc.set_defaults(run=_command("gc"))

    verify = commands.add_parser("verify", parents=[common, talk, loud], help="read everything and compare it")
    verify.add_argument("--repair", action="store_true", help="fetch again what is damaged, from its own index")
    verify.add_argument(
        "--max-duration", type=_duration, metavar="TIME", help="stop after this time; the next run goes on there"
    )
    verify.add_argument("--all", action="store_true", help="begin anew, also where an earlier one stopped half-way")
    verify.add_argument("--json", action="store_true", help="what was found, as JSON on standard output")
    verify.set_defaults(run=_command("verify"))

    export = commands.add_parser(
        "export", parents=[common, talk, loud], help="write a signed bundle of what the other side of an air gap lacks"
    )
    export.add_argument("directory", type=_directory, metavar="DIR", help="the bundle; it must not be there yet")
    since = export.add_mutually_exclusive_group()
    since.add_argument(
        "--since", metavar="WHAT", help="what the other side has: a receipt's file or code, or a generation's number"
    )
    since.add_argument("--full", action="store_true", help="carry everything (what is done without --since)")
    export.add_argument(
        "--volume-size", type=_size, metavar="SIZE", help="cut the blobs into tar volumes no larger than this, like 4GB"
    )
    export.add_argument("--sign", type=_directory, metavar="KEY", help="an OpenSSH ed25519 key (default: of [export])")
    export.add_argument("--identity", type=_identity, metavar="NAME", help="who exports (default: of [export])")
    export.add_argument("--dry-run", action="store_true", help="say what the bundle would have, and write nothing")
    export.add_argument("--json", action="store_true", help="what was exported, as JSON on standard output")
    export.set_defaults(run=_command("export"))

    trusting = argparse.ArgumentParser(add_help=False)
    trusting.add_argument(
        "--trust",
        type=_directory,
        metavar="KEYS",
        help="who may sign: a file of allowed signers, as ssh-keygen has them (default: of [import])",
    )
    take = commands.add_parser(
        "import",
        parents=[common, trusting, talk, loud],
        help="prove a bundle and publish it, or do nothing",
    )
    take.add_argument("directory", type=_directory, metavar="DIR", help="the bundle")
    take.add_argument("--receipt", metavar="FILE", help="write the receipt there as well; - for standard output")
    take.add_argument(
        "--audit", metavar="FILE", help="add a JSON line for each blob there as well; - for standard output"
    )
    take.set_defaults(run=_command("import"))

    bundle = commands.add_parser("bundle", help="look at a bundle").add_subparsers(required=True, metavar="COMMAND")
    show = bundle.add_parser(
        "show", parents=[common, trusting, talk, loud], help="verify a bundle, and say what it has and would change"
    )
    show.add_argument("directory", type=_directory, metavar="DIR", help="the bundle")
    show.add_argument("--json", action="store_true", help="as JSON on standard output")
    show.set_defaults(run=_command("bundle_show"))

    clients = commands.add_parser(
        "clients", parents=[common, loud], help="the settings that pip, uv, poetry and PDM need to install from here"
    )
    clients.add_argument("--base-url", required=True, metavar="URL", help="where public/current is served")
    what = clients.add_mutually_exclusive_group()
    what.add_argument("--tool", choices=("pip", "uv", "poetry", "pdm"), help="the text for this tool's file alone")
    what.add_argument(
        "--rewrite",
        type=Path,
        metavar="LOCK",
        help="print this uv.lock, pylock.toml or pdm.lock with URLs of the trees instead",
    )
    clients.set_defaults(run=_command("clients"))

    demo = commands.add_parser("demo", parents=[talk, loud], help="two embedded private indexes, mirrored and shown")
    demo.add_argument("directory", nargs="?", type=Path, metavar="DIR", help="where to (default: a new directory)")
    demo.set_defaults(run=_command("demo"))

    schema = commands.add_parser("schema", parents=[loud], help="JSON Schema of the configuration or the report")
    schema.add_argument("what", choices=("config", "report"))
    schema.set_defaults(run=_command("schema"))
    return parser


def _command(name: str) -> Callable[[argparse.Namespace], int]:
    """The function of a command, imported when it runs: `mirror --help` needs none of them."""

    def command(options: argparse.Namespace) -> int:
        module = importlib.import_module(f"mirror.cli.{_MODULES.get(name, 'commands')}")
        code: int = getattr(module, f"{name}_command")(options)
        return code

    return command
