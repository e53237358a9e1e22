"""The rows of the peers: what else fetches many files, on the same server and bytes."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import msgspec

from bench import warehouse
from bench.corpus import File
from bench.peers.httpx_gather import Job, Transfer
from bench.row import Count, Missing, Plan, Row, Setting, program, without_syncs


def _transfers(setting: Setting) -> list[tuple[File, Transfer]]:
    served = setting.served
    found = []
    for file in setting.offered.values():
        index = served.of_project[file.project]
        found.append((file, Transfer(served.file_url(file), index.user, index.password, file.sha256)))
    return found


def _aria2c(setting: Setting, ranges: int = 1) -> Plan:
    lines = []
    for file, transfer in _transfers(setting):
        lines += [transfer.url, f"  out={file.name}", f"  checksum=sha-256={file.sha256}"]
        lines += [f"  http-user={transfer.user}", f"  http-passwd={transfer.password}"]
    entries = setting.directory / "aria2c.txt"
    entries.write_text("\n".join(lines) + "\n")
    command = [program("aria2c"), "--no-conf", "--no-netrc", "--quiet", "--file-allocation=none"]
    command += ["--auto-save-interval=0", f"--max-concurrent-downloads={setting.scenario.concurrency}"]
    command += [f"--split={ranges}", f"--max-connection-per-server={ranges}", "--min-split-size=1M"]
    command += [f"--input-file={entries}", f"--dir={setting.out}"]
    if setting.scenario.transport != "plain":
        command.append(f"--ca-certificate={setting.served.ca_pem}")
    return Plan([command], setting.expected, setting.have, setting.environment())


def _aria2c_no_syncs(setting: Setting) -> Plan:
    return without_syncs(_aria2c(setting), setting)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _curl_command(setting: Setting, name: str, sections: Iterable[Iterable[tuple[str, str]]]) -> list[str]:
    """One curl for all of it: each section has options of its own, and what is global comes first."""
    lines = []
    for number, section in enumerate(sections):
        lines += ["next"] if number else []
        lines += [f"{option} = {_quoted(value)}" for option, value in section]
        lines += ["fail", "silent", "show-error"]
        if setting.scenario.transport != "plain":
            lines += [f"cacert = {_quoted(str(setting.served.ca_pem))}"]
        lines += ["http2" if setting.scenario.transport == "h2" else "http1.1"]
    config = setting.directory / name
    config.write_text("\n".join(lines) + "\n")
    width = ["--parallel", "--parallel-max", str(setting.scenario.concurrency)]
    return [program("curl"), "--disable", *width, "--config", str(config)]


def _curl_files(setting: Setting) -> list[str]:
    """A section for each credential."""
    sections: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for file, transfer in _transfers(setting):
        section = sections.setdefault(
            (transfer.user, transfer.password), [("user", f"{transfer.user}:{transfer.password}")]
        )
        section += [("url", transfer.url), ("output", str(setting.out / file.name))]
    return _curl_command(setting, "curl.txt", sections.values())


def _curl(setting: Setting) -> Plan:
    return Plan([_curl_files(setting)], setting.expected, setting.have, setting.environment())


def _curl_openssl(setting: Setting) -> Plan:
    """Two openssl side by side, each with half of the bytes; a comparison of all digests ends the row."""
    openssl = program("openssl")
    halves: tuple[list[str], list[str]] = ([], [])
    sums = [0, 0]
    for file in sorted(setting.offered.values(), key=lambda file: -file.size):
        lighter = sums.index(min(sums))
        halves[lighter].append(file.name)
        sums[lighter] += file.size
    for number, half in enumerate(halves):
        (setting.directory / f"names{number}").write_text("\0".join(half))
    expected = sorted(f"{file.sha256} *{file.name}\n" for file in setting.offered.values())
    (setting.directory / "expected").write_text("".join(expected))
    digests = [f"xargs -0 -r -a ../names{n} {openssl} dgst -sha256 -r >../found{n}" for n in (0, 1)]
    script = f"cd {setting.out}\n{digests[0]} &\n{digests[1]} && wait $! && "
    script += "LC_ALL=C sort ../found0 ../found1 | cmp - ../expected"
    return Plan([_curl_files(setting), ["sh", "-c", script]], setting.expected, setting.have, setting.environment())


def _curl_crawl(setting: Setting) -> Plan:
    """The pages first, then the files; curl reads no page, so both lists were made beforehand."""
    pages = setting.served.pages()
    sections: dict[str, list[tuple[str, str]]] = {}
    for number, page in enumerate(pages):
        index = page.index
        section = sections.setdefault(index.name, [("user", f"{index.user}:{index.password}")])
        section += [("url", page.url), ("output", str(setting.directory / "pages" / str(number)))]
    (setting.directory / "pages").mkdir()
    steps = [_curl_command(setting, "pages.txt", sections.values()), _curl_files(setting)]
    return Plan(steps, setting.expected, setting.have, setting.environment())


def _curl_conditional(setting: Setting) -> Plan:
    """The conditional requests of a second night, all of which must be answered 304."""
    pages = setting.served.pages()
    sections = (
        [
            ("user", f"{page.index.user}:{page.index.password}"),
            ("url", page.url),
            ("header", f"If-None-Match: {page.etag}"),
        ]
        for page in pages
    )
    command = _curl_command(setting, "pages.txt", sections)

    def judge() -> Count:
        return Count(setting.served.traffic().not_modified, 0)

    return Plan([command], Count(len(pages), 0), judge, setting.environment(), "counts pages answered 304")


def _wget2(setting: Setting) -> Plan:
    """One process for each credential, side by side: wget2 takes one for a host."""
    urls: dict[tuple[str, str], list[str]] = {}
    for _, transfer in _transfers(setting):
        urls.setdefault((transfer.user, transfer.password), []).append(transfer.url)
    wget2, script = program("wget2"), []
    for (user, password), some in urls.items():
        listing = setting.directory / f"{user}.txt"
        listing.write_text("\n".join(some) + "\n")
        command = [wget2, "--no-config", "--quiet", "--no-robots", "--no-hsts", "--http2=off", "--auth-no-challenge"]
        command += [f"--http-user={user}", f"--http-password={password}"]
        command += [f"--max-threads={max(1, setting.scenario.concurrency // len(urls))}"]
        command += [f"--input-file={listing}", f"--directory-prefix={setting.out}"]
        if setting.scenario.transport != "plain":
            command.append(f"--ca-certificate={setting.served.ca_pem}")
        script.append(f"{shlex.join(command)} &\n")
    note = "a process for each index" if len(urls) > 1 else ""
    command = ["sh", "-c", "".join([*script, "wait"])]
    return Plan([command], setting.expected, setting.have, setting.environment(), note)


def _httpx(setting: Setting, *, crawl: bool = False) -> Plan:
    transfers = [transfer for _, transfer in _transfers(setting)]
    if crawl:
        served = setting.served
        transfers = [Transfer(served.index_url(index), index.user, index.password) for index in served.indexes]
    authority = None if setting.scenario.transport == "plain" else str(setting.served.ca_pem)
    job = Job(transfers, str(setting.out), setting.scenario.concurrency, authority, crawl)
    path = setting.directory / "httpx.json"
    path.write_bytes(msgspec.json.encode(job))
    command = [sys.executable, "-m", "bench.peers.httpx_gather", str(path)]
    return Plan([command], setting.expected, setting.have, setting.environment())


def _one_index(setting: Setting, installer: str) -> str:
    """The URL of the only index, with its credential in it as installers take it."""
    if len(setting.served.indexes) > 1:
        raise Missing(f"{installer} looks credentials up by URL: with several indexes on one host it sends wrong ones")
    [index] = setting.served.indexes
    scheme, _, rest = setting.served.index_url(index).partition("://")
    return f"{scheme}://{index.user}:{index.password}@{rest}"


def _requirements(setting: Setting) -> Path:
    path = setting.directory / "requirements.txt"
    lines = (f"{f.project}=={f.version} --hash=sha256:{f.sha256}\n" for f in setting.offered.values())
    path.write_text("".join(lines))
    return path


def _pip(setting: Setting) -> Plan:
    if importlib.util.find_spec("pip") is None:
        raise Missing("pip is not installed beside this Python")
    command = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-cache-dir", "-q"]
    command += ["download", "--no-deps", "--require-hashes", "--index-url", _one_index(setting, "pip")]
    command += ["--dest", str(setting.out), "--requirement", str(_requirements(setting))]
    env = setting.environment(PIP_CONFIG_FILE=os.devnull)
    return Plan([command], setting.expected, setting.have, env, "one after the other; verifies, then copies")


def _uv(setting: Setting) -> Plan:
    """uv downloads no wheels to keep, so it installs them; judged by the payload in each wheel."""
    command = [program("uv"), "--no-config", "pip", "install", "--quiet", "--python", sys.executable, "--no-deps"]
    command += ["--require-hashes", "--default-index", _one_index(setting, "uv"), "--target", str(setting.out)]
    command += ["--cache-dir", str(setting.directory / "cache"), "--requirements", str(_requirements(setting))]
    env = setting.environment(UV_CONCURRENT_DOWNLOADS=str(setting.scenario.concurrency))

    def judge() -> Count:
        found = [file for file in setting.offered.values() if _installed(setting.out, file)]
        return Count(len(found), sum(file.size for file in found))

    return Plan([command], setting.expected, judge, env, "unpacks: keeps no wheel")


def _installed(target: Path, file: File) -> bool:
    module = file.name.partition("-")[0]
    return (target / f"{module}-{file.version}.dist-info" / "RECORD").exists() and (target / module).is_dir()


def _bandersnatch(setting: Setting) -> Plan:
    """bandersnatch has no credentials and one index only; a stand-in for PyPI offers it the same files."""
    bandersnatch = warehouse.program(setting.work)
    if not bandersnatch.exists():
        raise Missing("run with --bandersnatch, which installs it")
    if setting.scenario.transport != "plain":
        raise Missing("bandersnatch takes no certificate authority of one's own")
    warehouse.write(setting.served.warehouse, setting.served.url, setting.offered.values())
    config = warehouse.configuration(setting.directory, setting.served.url, setting.scenario.concurrency)
    command = [str(bandersnatch), "--config", str(config), "mirror"]
    note = "no credentials; 10 workers at most"
    return Plan([command], setting.expected, setting.have, setting.environment(), note)


_SHA256, _NOTHING = "sha256 of each file", "nothing"
_EMPTY = "each file once, while it is empty: nothing durable"  # found by strace, aria2 1.36

ROWS = (
    Row("aria2c", _aria2c, _SHA256, _EMPTY),
    Row("aria2c, no syncs", _aria2c_no_syncs, _SHA256, "nothing: the same shim"),
    Row("aria2c, 4 ranges", partial(_aria2c, ranges=4), _SHA256, _EMPTY),
    Row("curl", _curl, _NOTHING, _NOTHING),
    Row("curl, then openssl", _curl_openssl, f"{_SHA256}, on two cores", _NOTHING),
    Row("curl, pages and files", _curl_crawl, _NOTHING, _NOTHING),
    Row("curl, conditional", _curl_conditional, _NOTHING, _NOTHING),
    Row("wget2", _wget2, _NOTHING, _NOTHING),
    Row("httpx", _httpx, _SHA256, _NOTHING),
    Row("httpx, pages and files", partial(_httpx, crawl=True), _SHA256, _NOTHING),
    Row("bandersnatch", _bandersnatch, _SHA256, _NOTHING),
    Row("pip download", _pip, _SHA256, _NOTHING),
    Row("uv pip install", _uv, _SHA256, _NOTHING),
)
