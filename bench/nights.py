"""The rows of `mirror sync`: cold, again, after a change, after a kill, and without its flushes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.row import Count, Plan, Row, Setting, Unprepared, right_files, without_syncs


def _configured(setting: Setting, *, root: Path | None = None) -> list[str]:
    """Writes mirror.toml; the command of one night."""
    scenario, served = setting.scenario, setting.served
    lines = [f'root = "{root or setting.directory / "root"}"', f"concurrency = {scenario.concurrency}"]
    lines += ["[defaults]", 'authenticate = "always"', f"concurrency = {scenario.concurrency}"]
    if scenario.transport != "plain":
        lines.append(f'ca-file = "{served.ca_pem}"')
    if scenario.transport == "h2":
        lines.append("http2 = true")
    if scenario.some_projects:
        wanted = msgspec.json.encode([f"{file.project}=={file.version}" for file in setting.offered.values()])
        lines.append(f"projects = {wanted.decode()}")
    for index in served.indexes:
        secret = setting.directory / f"{index.name}.password"
        secret.touch(mode=0o600)
        secret.write_text(index.password)
        lines += ["[[index]]", f'name = "{index.name}"', f'url = "{served.index_url(index)}"']
        lines += [f'username = "{index.user}"', f'password = {{ file = "{secret}" }}']
    config = setting.directory / "mirror.toml"
    config.write_text("\n".join(lines) + "\n")
    return [sys.executable, "-m", "mirror", "sync", "-q", "-c", str(config)]


def _night_before(setting: Setting, command: Sequence[str]) -> None:
    done = subprocess.run(command, env=setting.environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unprepared(f"the night before the row ended with {done.returncode}: {done.stderr[-2000:]}")


def _cold(setting: Setting) -> Plan:
    return Plan([_configured(setting)], setting.expected, setting.have, setting.environment())


def _no_syncs(setting: Setting) -> Plan:
    return without_syncs(_cold(setting), setting)


def _no_op(setting: Setting) -> Plan:
    """A second night; the first one's root is kept for the rounds to come, because nothing changes in it."""
    root = setting.directory.with_name("kept")
    command = _configured(setting, root=root)
    if not (root / "public" / "current").exists():
        _night_before(setting, command)
    return Plan([command], setting.expected, lambda: right_files(root, setting.offered), setting.environment())


def _changed(setting: Setting) -> Plan:
    command = _configured(setting)
    _night_before(setting, command)
    setting.served.write_pages(changed=True, only_late=True)
    files = setting.later
    expected = Count(len(files), sum(file.size for file in files.values()))
    note = f"{len(files) - len(setting.offered)} new files"
    return Plan([command], expected, lambda: right_files(setting.directory, files), setting.environment(), note)


def _resumed(setting: Setting) -> Plan:
    """The night before is killed as soon as half of the files were answered, by the access log."""
    command = _configured(setting)
    half = len(setting.offered) // 2
    process = subprocess.Popen(command, env=setting.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and setting.served.requests_so_far(b"/files/") < half:
        time.sleep(0.01)
    at = setting.served.requests_so_far(b"/files/")
    process.send_signal(signal.SIGKILL)
    note = f"killed after {at} of {len(setting.offered)} files"
    if process.wait() == 0:
        note = "the first night was over before it could be killed"
    return Plan([command], setting.expected, setting.have, setting.environment(), note)


_VERIFIES, _SYNCS = "size and sha256 of each file, shape of each wheel", "everything, twice for each batch"

ROWS = (
    Row("mirror", _cold, _VERIFIES, _SYNCS),
    Row("mirror, no syncs", _no_syncs, _VERIFIES, "nothing: a shim answers its fsync and syncfs"),
    Row("mirror, no-op", _no_op, "nothing new comes", _SYNCS),
    Row("mirror, 1 % changed", _changed, _VERIFIES, _SYNCS),
    Row("mirror, resumed", _resumed, _VERIFIES, _SYNCS),
)
