"""Faults 55 to 62: everything that could carry a credential to where it does not belong."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mirror.cli.wheels import build_wheel
from tests.faults import child
from tests.faults.fault import ABSORBED, Case, Fault, Play
from tests.faults.shims import a_defect_that_knows_the_secret
from tests.faults.stage import NEW, Stage, the_file, the_page
from tests.site import Outcome
from tests.world import Answer, Close, Raw, Reply, Request, faults
from tests.world.http1 import head

_BYTES = Reply(200, (("Content-Type", "application/octet-stream"),), NEW.content)
_PLACE = f"/elsewhere/{NEW.filename}"


def _anonymous(stage: Stage, origin: str) -> None:
    """Whoever was asked at that origin for the new file, was asked, and by nobody."""
    asked = [entry for entry in stage.world.requests(path_contains=_PLACE) if entry.origin == origin]
    assert {entry.credential for entry in asked} == {None}


def _linked_elsewhere(answer: Reply) -> Play:
    """The page links to another host, which answers like this."""

    @contextmanager
    def play(stage: Stage) -> Iterator[None]:
        other = stage.world.origin("other")
        stage.first.add(NEW, url=stage.world.route(other, _PLACE, answer))
        yield
        _anonymous(stage, "other")
        assert stage.entry("first")["foreign-links"] == 1
        stage.first.add(NEW)

    return play


@contextmanager
def _to_another_name(stage: Stage) -> Iterator[None]:
    stage.world.route(stage.world.main, _PLACE, _BYTES)
    with stage.spoiling(the_file, faults.redirect(stage.world.main.at(_PLACE, host="localhost"))):
        yield
    _anonymous(stage, "main")


@contextmanager
def _to_another_port(stage: Stage) -> Iterator[None]:
    with stage.spoiling(the_file, faults.redirect(stage.world.route(stage.world.origin("other"), _PLACE, _BYTES))):
        yield
    _anonymous(stage, "other")


@contextmanager
def _to_another_scheme(stage: Stage) -> Iterator[None]:
    secure = stage.world.origin("secure", tls=True)
    stage.keys |= {"ca_file": str(stage.world.ca_pem)}
    with stage.spoiling(the_file, faults.redirect(stage.world.route(secure, _PLACE, _BYTES))):
        yield
    _anonymous(stage, "secure")


@contextmanager
def _down_to_http(stage: Stage) -> Iterator[None]:
    with stage.spoiling(the_file, faults.redirect(stage.world.route(stage.world.main, _PLACE, _BYTES))):
        yield
    assert stage.world.requests(origin=stage.world.main) == []


@contextmanager
def _linked_down_to_http(stage: Stage) -> Iterator[None]:
    stage.first.add(NEW, url=stage.world.route(stage.world.main, _PLACE, _BYTES))
    yield
    assert stage.world.requests(origin=stage.world.main) == []
    stage.first.add(NEW)


def _echo(request: Request, _reply: Reply) -> Answer:
    """An error that holds all that was sent, in its reason, its headers and its body."""
    sent = request.header("authorization") or ""
    headers = (
        f"X-Echo: {sent}\r\nWWW-Authenticate: {sent}\r\nETag: {sent}\r\nLocation: http://x:{sent}@127.0.0.1:1/\r\n"
    )
    return Raw([f"HTTP/1.1 500 no {sent}\r\n{headers}Content-Length: {len(sent)}\r\n\r\n{sent}".encode(), Close()])


def _echo_on_a_page(request: Request, _reply: Reply) -> Answer:
    """A page whose names, links and reasons hold all that was sent."""
    sent = (request.header("authorization") or "").partition(" ")[2]
    file = (
        f'{{"filename": "{sent}.whl", "url": "http://u:{sent}@127.0.0.1/{sent}", "hashes": {{}}, "yanked": "{sent}"}}'
    )
    return Reply(200, (), f'{{"meta": {{"api-version": "1.0"}}, "name": "one", "files": [{file}]}}'.encode())


def _echoing(answer: object) -> Play:
    @contextmanager
    def play(stage: Stage) -> Iterator[None]:
        stage.arguments = ("-v",)
        assert callable(answer)
        with stage.spoiling(the_page, answer):
            yield

    return play


@contextmanager
def _defect(stage: Stage) -> Iterator[None]:
    stage.arguments = ("-v",)
    with a_defect_that_knows_the_secret(stage.site):
        yield
    assert "RuntimeError" in stage.last.err


@contextmanager
def _fault_handler(stage: Stage) -> Iterator[None]:
    stage.site.environ["PYTHONFAULTHANDLER"] = "1"
    yield
    del stage.site.environ["PYTHONFAULTHANDLER"]


def _aborted_in_the_file(stage: Stage) -> Outcome:
    """The run dies of SIGABRT while it holds the credentials, and its interpreter prints where it was."""
    stage.configure()
    gate = stage.world.gate()
    stopping = stage.spoiling(the_file, lambda _, reply: Raw([head(reply), reply.body[:50], gate]))
    with stopping, child.synchronising(stage.site, "-v") as run:
        assert gate.reached.wait(60)
        run.signal(signal.SIGABRT)
        gate.open()
        outcome = run.end()
    assert "Fatal Python error" in outcome.err
    return outcome


@contextmanager
def _secret_from_a_file(stage: Stage) -> Iterator[None]:
    """The environment holds no password, so that everything about the process could be shown to everybody."""
    assert stage.first.credential is not None
    secret = stage.site.directory / "first.password"
    secret.write_text(stage.first.credential.secret)
    secret.chmod(0o600)
    stage.keys |= {"username": "user", "password": {"file": str(secret)}}
    yield


def _looked_at_from_outside(stage: Stage) -> Outcome:
    """What `ps` shows of the process, while it is fetching."""
    stage.configure(**stage.keys)
    for name in ("USERNAME", "PASSWORD"):
        stage.site.environ.pop(f"MIRROR_INDEX_FIRST_{name}")
    gate = stage.world.gate()
    rest = stage.spoiling(
        the_file, lambda _, reply: Raw([head(reply), reply.body[:50], gate, reply.body[50:], Close()])
    )
    with rest, child.synchronising(stage.site) as run:
        assert gate.reached.wait(60)
        process = Path("/proc", str(run.pid))
        shown = [*process.glob("cmdline"), *process.glob("comm"), *process.glob("task/*/comm")]
        stage.site.search(*(path.read_text(errors="replace") for path in shown))
        assert b"sync" in (process / "cmdline").read_bytes()
        assert stage.first.credential is not None
        assert stage.first.credential.secret.encode() not in (process / "environ").read_bytes()
        gate.open()
        return child.ended(stage.site, run)


@contextmanager
def _readable_by_others(stage: Stage) -> Iterator[None]:
    assert stage.first.credential is not None
    secret = stage.site.directory / "first.password"
    secret.write_text(stage.first.credential.secret)
    secret.chmod(0o644)
    stage.keys |= {"username": "user", "password": {"file": str(secret)}}
    yield
    assert stage.world.requests(owner="first") == []


def _without_its_variables(stage: Stage) -> Outcome:
    """The environment knows nothing of `first`: only the file does."""
    stage.configure(**stage.keys)
    for name in ("USERNAME", "PASSWORD"):
        stage.site.environ.pop(f"MIRROR_INDEX_FIRST_{name}")
    return child.run(stage.site)


@contextmanager
def _proxies_and_netrc(stage: Stage) -> Iterator[None]:
    """A proxy for everything, and a password for this very host: nobody asked for either."""
    proxy = stage.world.origin("proxy")
    canary = "canary-in-netrc"
    stage.site.canaries.add(canary)
    netrc = stage.site.directory / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login user password {canary}\ndefault login user password {canary}\n")
    netrc.chmod(0o600)
    variables = {f"{scheme}_proxy": proxy.url for scheme in ("http", "https", "all")}
    variables |= {name.upper(): value for name, value in variables.items()}
    stage.site.environ |= variables | {"NETRC": str(netrc), "CURL_HOME": str(stage.site.directory)}
    yield
    assert stage.world.requests(origin=proxy) == []
    assert {entry.credential for entry in stage.world.requests(owner="first")} == {None}
    for name in (*variables, "NETRC", "CURL_HOME"):
        del stage.site.environ[name]


@contextmanager
def _the_neighbours_file(stage: Stage) -> Iterator[None]:
    """`first` offers a file that only `second` may read: it is asked for as nobody, and not had."""
    theirs = stage.second.add(build_wheel("private", "1.0"))
    stage.keys |= {"credential_scope": "path", "credential_paths": ["/first"]}
    stage.first.add(build_wheel("private", "1.0"), url=theirs.path, at="elsewhere.whl")
    yield
    anonymous = stage.world.requests(path_contains=theirs.path, status=401)
    assert [entry.credential for entry in anonymous] == [None]
    assert {entry.credential for entry in stage.world.requests(owner="first")} == {"first"}
    stage.first.remove(theirs.filename)


FAULTS = (
    Fault(
        55,
        "file link to another host",
        {
            "open": Case(play=_linked_elsewhere(_BYTES), codes=ABSORBED),
            "closed": Case(play=_linked_elsewhere(Reply(401)), says="no-credentials"),
        },
    ),
    Fault(
        56,
        "redirect to another host, port, scheme",
        {
            "host": Case(play=_to_another_name, codes=ABSORBED),
            "port": Case(play=_to_another_port, codes=ABSORBED),
            "scheme": Case(play=_to_another_scheme, codes=ABSORBED),
        },
    ),
    Fault(
        57,
        "https to http",
        {
            "redirect": Case(play=_down_to_http, says="insecure", scheme="https"),
            "link": Case(play=_linked_down_to_http, says='"rule": "C4"', scheme="https"),
        },
    ),
    Fault(
        58,
        "a canary in tracebacks, -v, crashes",
        {
            "error": Case(play=_echoing(_echo), says="server-error"),
            "page": Case(play=_echoing(_echo_on_a_page), says='"rule"'),
            "defect": Case(play=_defect, says="defect", crashes=True),
            "crash": Case(
                play=_fault_handler,
                run=_aborted_in_the_file,
                codes=frozenset({-signal.SIGABRT}),
                whole_machine=True,
                crashes=True,
            ),
        },
    ),
    Fault(
        59,
        "a canary in tree, manifest, state, process list",
        {"all": Case(play=_secret_from_a_file, run=_looked_at_from_outside, codes=ABSORBED)},
    ),
    Fault(
        60,
        "a secret file that others can read",
        {"password": Case(play=_readable_by_others, run=_without_its_variables, says="no-credentials")},
    ),
    Fault(
        61,
        "proxy and netrc in the environment",
        {
            "anonymous": Case(
                play=_proxies_and_netrc, codes=ABSORBED, options={"password": None, "reject_credentials": True}
            )
        },
    ),
    Fault(62, "two indexes on one host", {"file": Case(play=_the_neighbours_file, says="no-credentials")}),
)
