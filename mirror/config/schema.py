"""`mirror.toml` as it is written: every key, its type, its bounds, its default and what it means.

The structs are the only list of keys there is: the loader decodes by them, its error messages quote
their descriptions and examples, and the editor's JSON schema is made from them. Keys are kebab-case and
unknown ones are refused. Secrets have no field that could hold them, only references to where they are.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mirror.config.cutoffs import CUTOFF_PATTERN
from mirror.config.durations import DURATION_PATTERN
from mirror.config.rates import RATE_PATTERN, REQUESTS_PATTERN
from mirror.config.sizes import SIZE_PATTERN
from mirror.model.bundle import Identity
from mirror.model.index import Authenticate, Limits

CONCURRENCY = 64
"""Requests over all indexes at the same time, without the key."""

MIN_FREE = "256MiB"
"""What stays free on the root's disk, without the key."""
KEEP = 7
"""Generations that `mirror gc` keeps, without the key."""
GRACE = "3d"
"""For how long `mirror gc` keeps what is not served any more, without the key."""
EXPIRES = "90d"
"""For how long a bundle can be imported, without the key."""
SCAN_TIMEOUT = "10m"
"""How long the scanner may take for one file, without the key."""

_LIMITS = Limits()
_DAY = 86_400
_ONE_SOURCE = {"oneOf": [{"required": [source]} for source in ("file", "systemd", "command", "env")]}

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$")]
PathText = Annotated[str, Meta(min_length=1, pattern=r"^[^\x00]+$")]
Word = Annotated[str, Meta(min_length=1)]
Bytes = Annotated[int, Meta(ge=1)] | Annotated[str, Meta(pattern=SIZE_PATTERN)]
Duration = Annotated[float, Meta(ge=0)] | Annotated[str, Meta(pattern=DURATION_PATTERN)]
Requests = Annotated[int, Meta(ge=1, le=10_000)]
Rate = Annotated[int, Meta(ge=1)] | Annotated[str, Meta(pattern=RATE_PATTERN)]
RequestRate = Annotated[str, Meta(pattern=REQUESTS_PATTERN)]
Seconds = Annotated[float, Meta(gt=0, le=_DAY)]
Cutoff = Annotated[bool, Meta(extra_json_schema={"const": False})] | Annotated[str, Meta(pattern=CUTOFF_PATTERN)]


class SecretTable(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """Where a secret is: exactly one of file, systemd, command and env."""

    file: Annotated[
        PathText | UnsetType,
        Meta(
            description="a file that only its owner can read (mode 0600); a final newline is cut",
            examples=["/etc/index-mirror/firstindex.token"],
        ),
    ] = UNSET
    systemd: Annotated[
        Annotated[str, Meta(pattern=r"^(?!\.{1,2}$)[^/\x00]+$")] | UnsetType,
        Meta(description="the name of a systemd credential (LoadCredential=)", examples=["firstindex-token"]),
    ] = UNSET
    command: Annotated[
        Annotated[list[str], Meta(min_length=1)] | UnsetType,
        Meta(
            description="a program and its arguments, run without a shell, that prints the secret within 60 seconds",
            examples=[["pass", "show", "firstindex"]],
        ),
    ] = UNSET
    ttl: Annotated[
        Seconds | UnsetType,
        Meta(description="seconds that a command's secret is good for", examples=[3000]),
    ] = UNSET
    env: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | UnsetType,
        Meta(description="the name of an environment variable", examples=["FIRSTINDEX_TOKEN"]),
    ] = UNSET


class Shared(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """Keys that every index can have, here for all of them; an index's own key wins."""

    authenticate: Annotated[
        Authenticate,
        Meta(
            description="auto: credentials if there are any; always: hold the index without; never: send none",
            examples=["always"],
        ),
    ] = Authenticate.AUTO
    projects: Annotated[
        Annotated[list[str], Meta(min_length=1)] | UnsetType,
        Meta(
            description="names, globs and specifiers of the projects to mirror, with extras where dependencies are "
            "followed; without the key, all that are listed",
            examples=[["secondpackage>=1.0", "acme-*"]],
        ),
    ] = UNSET
    exclude: Annotated[
        list[str] | UnsetType,
        Meta(
            description="names, globs and specifiers of what not to mirror, whatever `projects` says",
            examples=[["acme-old", "secondpackage<2", "x-*"]],
        ),
    ] = UNSET
    wheels: Annotated[Literal["always", "never"], Meta(description="whether to mirror wheels", examples=["never"])] = (
        "always"
    )
    sdists: Annotated[
        Literal["always", "never", "fallback"],
        Meta(
            description="whether to mirror sdists; fallback: only where a release lacks a wheel for an environment",
            examples=["fallback"],
        ),
    ] = "always"
    environments: Annotated[
        list[str] | UnsetType,
        Meta(
            description="the [[environment]]s to mirror files for; without the key, all of them; []: any machine",
            examples=[["prod"]],
        ),
    ] = UNSET
    latest: Annotated[
        Annotated[int, Meta(ge=1)] | UnsetType,
        Meta(description="how many releases of a project to mirror, the latest; pre-releases apart", examples=[3]),
    ] = UNSET
    latest_prereleases: Annotated[
        Annotated[int, Meta(ge=0)] | UnsetType,
        Meta(description="how many pre-releases of a project to mirror; without the key, as `latest`", examples=[1]),
    ] = UNSET
    prereleases: Annotated[
        Literal["allow", "disallow", "if-necessary"],
        Meta(
            description="whether to mirror pre-releases; if-necessary: only of a project that has nothing else",
            examples=["disallow"],
        ),
    ] = "allow"
    yanked: Annotated[
        Literal["keep", "drop"],
        Meta(description="keep: yanked files are mirrored with their mark; drop: they are not", examples=["drop"]),
    ] = "keep"
    max_size: Annotated[
        Bytes | UnsetType,
        Meta(description="bytes, or text such as 500MiB: larger files are not mirrored", examples=["500MiB"]),
    ] = UNSET
    exclude_newer: Annotated[
        Cutoff | UnsetType,
        Meta(
            description="an age, a date or a moment: later uploads are not mirrored; false: no limit",
            examples=["7 days"],
        ),
    ] = UNSET
    exclude_newer_package: Annotated[
        dict[str, Cutoff] | UnsetType,
        Meta(
            description="exclude-newer for single projects, in place of the other",
            examples=[{"secondpackage": False}],
        ),
    ] = UNSET
    credential_scope: Annotated[
        Literal["origin", "path"],
        Meta(
            description="origin: credentials go anywhere on the index's origins; path: only under credential-paths",
            examples=["path"],
        ),
    ] = "origin"
    allow_insecure: Annotated[
        bool, Meta(description="send credentials to a plain-http index that is not this machine", examples=[True])
    ] = False
    upgrade_http: Annotated[
        bool, Meta(description="ask over https for files that an https index links over http", examples=[True])
    ] = False
    follow_forwarding: Annotated[
        bool, Meta(description="take in pages that the index redirects to another origin", examples=[True])
    ] = False
    legacy_filenames: Annotated[
        bool, Meta(description="also take eggs, installers and other odd old file names", examples=[True])
    ] = False
    http2: Annotated[bool, Meta(description="speak HTTP/2 where the server does", examples=[True])] = False
    ca_file: Annotated[
        PathText | UnsetType,
        Meta(
            description="a PEM file with the certificates to trust instead of the system's, relative to this file",
            examples=["/etc/ssl/example-ca.pem"],
        ),
    ] = UNSET
    client_cert: Annotated[
        PathText | UnsetType,
        Meta(
            description="a PEM file with the certificate to show to the index's own origins, relative to this file",
            examples=["/etc/index-mirror/client.pem"],
        ),
    ] = UNSET
    client_key: Annotated[
        PathText | UnsetType,
        Meta(
            description="the PEM file with the key of client-cert, if it is not in that file; not encrypted",
            examples=["/etc/index-mirror/client.key"],
        ),
    ] = UNSET
    proxy: Annotated[
        Word | UnsetType,
        Meta(
            description="the proxy for all requests: http, https, socks5 or socks5h, host and port; 'direct': none",
            examples=["http://proxy.example.com:3128"],
        ),
    ] = UNSET
    proxy_username: Annotated[
        Word | UnsetType, Meta(description="the user name for the proxy beside it", examples=["mirror"])
    ] = UNSET
    proxy_password: Annotated[
        SecretTable | UnsetType,
        Meta(
            description="where the password for the proxy beside it is",
            examples=[{"file": "/etc/index-mirror/proxy.password"}],
            extra_json_schema=_ONE_SOURCE,
        ),
    ] = UNSET
    concurrency: Annotated[
        Requests, Meta(description="the most requests to one index at the same time", examples=[_LIMITS.concurrency])
    ] = _LIMITS.concurrency
    max_rate: Annotated[
        Rate | UnsetType,
        Meta(description="bytes a second, or text such as 10 MB/s, from one index", examples=["10 MB/s"]),
    ] = UNSET
    max_requests: Annotated[
        RequestRate | UnsetType,
        Meta(description="requests to one index a second (/s), minute (/m) or hour (/h)", examples=["20/s"]),
    ] = UNSET
    connect_timeout: Annotated[Seconds, Meta(description="seconds to connect", examples=[20])] = _LIMITS.connect_timeout
    stall_timeout: Annotated[
        Seconds, Meta(description="seconds that a transfer may be slower than stall-floor", examples=[30])
    ] = _LIMITS.stall_timeout
    stall_floor: Annotated[
        Annotated[int, Meta(ge=0)], Meta(description="bytes a second; a slower transfer is given up", examples=[1024])
    ] = _LIMITS.stall_floor
    tries: Annotated[
        Annotated[int, Meta(ge=1, le=100)], Meta(description="times to try one request in all", examples=[5])
    ] = _LIMITS.tries
    retry_after_cap: Annotated[
        Annotated[float, Meta(ge=0, le=_DAY)],
        Meta(description="seconds; the longest wait that a server may ask for (Retry-After)", examples=[300]),
    ] = _LIMITS.retry_after_cap
    max_page_size: Annotated[
        Bytes, Meta(description="bytes, or text such as 128MiB; the largest page to read", examples=["128MiB"])
    ] = _LIMITS.max_page_size
    max_file_size: Annotated[
        Bytes, Meta(description="bytes, or text such as 16GiB; the largest file to fetch", examples=["16GiB"])
    ] = _LIMITS.max_file_size
    max_files_per_page: Annotated[
        Annotated[int, Meta(ge=1)], Meta(description="the most links that a page may have", examples=[200_000])
    ] = _LIMITS.max_files_per_page
    max_shrink: Annotated[
        Annotated[float, Meta(ge=0, le=1)],
        Meta(
            description="the share of a list, page or index that may vanish before it is held",
            examples=[0.5],
        ),
    ] = _LIMITS.max_shrink


class IndexTable(Shared, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """One index to mirror; its tree is called like it."""

    name: Annotated[
        Name,
        Meta(
            description="letters, digits, '.', '_' and '-'; also the name of its tree and of its environment variables",
            examples=["firstindex"],
        ),
    ]
    url: Annotated[
        Word | UnsetType,
        Meta(
            description="the index's simple API, http or https; left out only for an index that from-uv has",
            examples=["https://gitlab.example.com/api/v4/projects/2177/packages/pypi/simple"],
        ),
    ] = UNSET
    username: Annotated[
        str | UnsetType, Meta(description="the user name that goes with the password", examples=["mirror"])
    ] = UNSET
    password: Annotated[
        SecretTable | UnsetType,
        Meta(
            description="where the password is (HTTP Basic)",
            examples=[{"file": "/etc/index-mirror/firstindex.password"}],
            extra_json_schema=_ONE_SOURCE,
        ),
    ] = UNSET
    token: Annotated[
        SecretTable | UnsetType,
        Meta(
            description="where the token is (HTTP Bearer)",
            examples=[{"file": "/etc/index-mirror/firstindex.token"}],
            extra_json_schema=_ONE_SOURCE,
        ),
    ] = UNSET
    netrc: Annotated[bool, Meta(description="look in $NETRC or ~/.netrc", examples=[True])] = False
    keyring: Annotated[bool, Meta(description="look in the system's keyring, by the URL", examples=[True])] = False
    credential_origins: Annotated[
        list[str] | UnsetType,
        Meta(
            description="further origins that this index's credentials may go to; https, without a path",
            examples=[["https://files.example.com"]],
        ),
    ] = UNSET
    credential_paths: Annotated[
        Annotated[list[str], Meta(min_length=1)] | UnsetType,
        Meta(
            description="with credential-scope = 'path': paths that credentials may go to; default: the URL's own path",
            examples=[["/api/v4/projects/2177"]],
        ),
    ] = UNSET


class RetentionTable(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """What `mirror gc` leaves."""

    keep: Annotated[
        Annotated[int, Meta(ge=1)],
        Meta(description="the newest generations to keep, with the served one", examples=[7]),
    ] = KEEP
    grace: Annotated[
        Duration,
        Meta(
            description="seconds, or text such as 3d: nothing goes that was served or fetched within this time",
            examples=["3d"],
        ),
    ] = GRACE


class ExportTable(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """What `mirror export` writes."""

    identity: Annotated[
        Identity | UnsetType,
        Meta(
            description="who exports: letters, digits and @._+-, as the other side's file of trusted keys names it",
            examples=["mirror@outside.example.com"],
        ),
    ] = UNSET
    sign: Annotated[
        PathText | UnsetType,
        Meta(
            description="the private key that signs, ed25519 as ssh-keygen writes it, relative to this file",
            examples=["/etc/index-mirror/bundle.key"],
        ),
    ] = UNSET
    expires: Annotated[
        Duration,
        Meta(description="seconds, or text such as 90d: how long a bundle can be imported", examples=["90d"]),
    ] = EXPIRES
    volume_size: Annotated[
        Bytes | UnsetType,
        Meta(
            description="bytes, or text such as 4GB, at least 1MiB: volumes no larger than this in place of single "
            "files",
            examples=["4GB"],
        ),
    ] = UNSET


class ImportTable(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """What `mirror import` takes in; a root with this table may do without indexes."""

    trust: Annotated[
        PathText | UnsetType,
        Meta(
            description="who may export: a file of allowed signers as ssh-keygen reads it, relative to this file",
            examples=["/etc/index-mirror/allowed_signers"],
        ),
    ] = UNSET
    scan: Annotated[
        Annotated[list[PathText], Meta(min_length=1)] | UnsetType,
        Meta(
            description="a program and its arguments, run without a shell for each imported file, which it reads from "
            "standard input; any exit code but 0 is an infection",
            examples=[["clamdscan", "--fdpass", "-"]],
        ),
    ] = UNSET
    scan_timeout: Annotated[
        Duration,
        Meta(
            description="seconds, or text such as 10m: a scanner that takes longer for one file has found something",
            examples=["10m"],
        ),
    ] = SCAN_TIMEOUT
    max_age: Annotated[
        Duration | UnsetType,
        Meta(
            description="seconds, or text such as 7d: mirror status fails when what was imported last was exported "
            "longer ago",
            examples=["7d"],
        ),
    ] = UNSET


class EnvironmentTable(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """A machine that files are mirrored for: one Python on one platform."""

    name: Annotated[Name, Meta(description="the environment's name", examples=["prod"])]
    python: Annotated[
        Word,
        Meta(description="its Python, such as 3.11 (any patch release of it) or 3.11.4", examples=["3.11"]),
    ]
    platform: Annotated[
        Word,
        Meta(
            description="its best platform tag: manylinux_2_28_x86_64, musllinux_1_2_aarch64, macosx_14_0_arm64, "
            "win_amd64 and their like; what is older is implied",
            examples=["manylinux_2_28_x86_64"],
        ),
    ]
    implementation: Annotated[Literal["cp", "pp"], Meta(description="cp: CPython; pp: PyPy", examples=["pp"])] = "cp"
    free_threaded: Annotated[bool, Meta(description="CPython without its global lock", examples=[True])] = False


class TreeTable(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """A merged tree: the first index that has a project owns it."""

    name: Annotated[Name, Meta(description="the tree's name, which no index has", examples=["all"])]
    indexes: Annotated[
        Annotated[list[str], Meta(min_length=1)],
        Meta(description="names of indexes, the first has priority", examples=[["firstindex", "secondindex"]]),
    ]


class LockTable(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """A lock file, and how to read it."""

    file: Annotated[
        PathText,
        Meta(
            description="a uv.lock, pylock.toml, poetry.lock, pdm.lock or requirements.txt, relative to this file",
            examples=["app/uv.lock"],
        ),
    ]
    environments: Annotated[
        Annotated[list[str], Meta(min_length=1)] | UnsetType,
        Meta(
            description="names of the environments whose wheels are wanted; without the key, of all that are named",
            examples=[["prod"]],
        ),
    ] = UNSET
    indexes: Annotated[
        dict[str, str] | UnsetType,
        Meta(
            description="URLs that stand in the lock, and the names of the indexes that they mean here",
            examples=[{"https://old.example.com/simple": "firstindex"}],
        ),
    ] = UNSET


class Configuration(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, kw_only=True):
    """The configuration of index-mirror."""

    root: Annotated[
        PathText, Meta(description="the folder to mirror into, relative to this file", examples=["/srv/mirror"])
    ]
    concurrency: Annotated[Requests, Meta(description="requests to all indexes at the same time", examples=[64])] = (
        CONCURRENCY
    )
    max_rate: Annotated[
        Rate | UnsetType,
        Meta(description="bytes a second, or text such as 50 MB/s, from all indexes together", examples=["50 MB/s"]),
    ] = UNSET
    max_requests: Annotated[
        RequestRate | UnsetType,
        Meta(description="requests to all indexes a second (/s), minute (/m) or hour (/h)", examples=["100/s"]),
    ] = UNSET
    min_free: Annotated[
        Annotated[int, Meta(ge=0)] | Annotated[str, Meta(pattern=SIZE_PATTERN)],
        Meta(description="bytes, or text such as 256MiB: what stays free on the root's disk", examples=["256MiB"]),
    ] = MIN_FREE
    from_uv: Annotated[
        PathText | UnsetType,
        Meta(description="a pyproject.toml or uv.toml whose indexes to mirror", examples=["pyproject.toml"]),
    ] = UNSET
    locks: Annotated[
        list[PathText | LockTable] | UnsetType,
        Meta(
            description="lock files whose files to mirror; an index without projects then gives nothing else",
            examples=[["app/uv.lock"]],
        ),
    ] = UNSET
    dependencies: Annotated[
        bool | Literal["superset", "resolved"],
        Meta(
            description="mirror all that the projects need, on every [[environment]]; true, superset: every release "
            "that could be asked for; resolved: what an installer would choose",
            examples=[True],
        ),
    ] = False
    build_dependencies: Annotated[
        bool, Meta(description="with dependencies: also what sdists need to be built", examples=[True])
    ] = False
    sources: Annotated[
        dict[str, Name] | UnsetType,
        Meta(
            description="names and globs of projects, and the only index that each may come from",
            examples=[{"acme-*": "firstindex"}],
        ),
    ] = UNSET
    defaults: Annotated[Shared | UnsetType, Meta(description="keys for every index")] = UNSET
    index: Annotated[list[IndexTable] | UnsetType, Meta(description="the indexes to mirror")] = UNSET
    environment: Annotated[
        list[EnvironmentTable] | UnsetType, Meta(description="the machines to mirror files for; without any, for all")
    ] = UNSET
    tree: Annotated[list[TreeTable] | UnsetType, Meta(description="merged trees")] = UNSET
    retention: Annotated[RetentionTable | UnsetType, Meta(description="what mirror gc leaves")] = UNSET
    export: Annotated[ExportTable | UnsetType, Meta(description="what mirror export writes")] = UNSET
    intake: Annotated[
        ImportTable | UnsetType,
        Meta(description="what mirror import takes in; with this table the root needs no index"),
    ] = msgspec.field(name="import", default=UNSET)


def json_schema() -> bytes:
    """The JSON schema of `mirror.toml` for editors, as `configs/mirror.schema.json` holds it."""
    schema: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "mirror.toml"}
    schema |= msgspec.json.schema(Configuration)
    return msgspec.json.format(msgspec.json.encode(schema, order="deterministic"), indent=2) + b"\n"
