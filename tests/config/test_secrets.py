"""References become credentials in a fixed order, from real files and real commands, and nothing leaks."""

from __future__ import annotations

import dataclasses
import itertools
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path

import keyring
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keyring.backend import KeyringBackend
from keyring.credentials import SimpleCredential

from mirror.config import references
from mirror.config.load import Settings, load
from mirror.config.secrets import SecretResolver
from mirror.errors import SecretUnavailable
from mirror.model.secret import Credential, scrub
from tests.config.helpers import Loaded, Write, one

NOTHING: Mapping[bytes, bytes] = {}
SET = {b"MIRROR_INDEX_FIRST_PASSWORD": b"from-env", b"MIRROR_INDEX_FIRST_USERNAME": b"env-user"}
UV = {b"UV_INDEX_FIRST_PASSWORD": b"from-uv", b"UV_INDEX_FIRST_USERNAME": b"uv-user"}


async def resolve(settings: Settings, environ: Mapping[bytes, bytes] = NOTHING) -> Credential | None:
    return await SecretResolver(settings, environ=environ).credential(settings.indexes[0])


async def pair(settings: Settings, environ: Mapping[bytes, bytes] = NOTHING) -> tuple[str, bytes, bytes]:
    """Scheme, user name and secret."""
    found = await resolve(settings, environ)
    assert found is not None
    assert found.index == settings.indexes[0].name
    assert found.reach == settings.indexes[0].reach
    return found.scheme, found.username, found.secret.reveal()


async def refusal(settings: Settings, environ: Mapping[bytes, bytes] = NOTHING) -> str:
    """The message, after a look that neither it nor its traceback has a secret."""
    with pytest.raises(SecretUnavailable) as caught:
        await resolve(settings, environ)
    shown = str(caught.value)
    assert shown.startswith("index first: ")
    assert "geheimnis" not in shown
    error: BaseException | None = caught.value
    while error is not None:
        assert "geheimnis" not in "".join(traceback.format_exception_only(error))
        error = error.__cause__ or error.__context__
    return shown


def command(code: str, *arguments: str, ttl: str = "") -> str:
    return f"{{ command = {[sys.executable, '-c', code, *arguments]!r}{ttl} }}"


# The environment


async def test_nothing_is_nothing(loaded: Loaded) -> None:
    """An index without any credentials has none."""
    assert await resolve(loaded(one())) is None


async def test_process_environment_by_default(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a mapping, the process's own variables are read, at every call."""
    resolver = SecretResolver(whole := loaded(one()))
    assert await resolver.credential(whole.indexes[0]) is None
    monkeypatch.setenv("MIRROR_INDEX_FIRST_TOKEN", "later")
    found = await resolver.credential(whole.indexes[0])
    assert found is not None
    assert found.secret.reveal() == b"later"


async def test_token_is_bearer(loaded: Loaded) -> None:
    """A token variable makes a Bearer credential."""
    assert await pair(loaded(one()), {b"MIRROR_INDEX_FIRST_TOKEN": b"tok"}) == ("bearer", b"", b"tok")


async def test_ours_before_uvs(loaded: Loaded) -> None:
    """uv's variables are read only if none of ours is set."""
    assert await pair(loaded(one()), UV | SET) == ("basic", b"env-user", b"from-env")
    assert await pair(loaded(one()), UV) == ("basic", b"uv-user", b"from-uv")
    mixed = UV | {b"MIRROR_INDEX_FIRST_PASSWORD": b"from-env"}
    assert await pair(loaded(one()), mixed) == ("basic", b"", b"from-env")


async def test_other_indexes_variables_are_not_read(loaded: Loaded) -> None:
    """A variable belongs to one index."""
    assert await resolve(loaded(one()), {b"MIRROR_INDEX_FIRST_2_TOKEN": b"x", b"UV_INDEX_FIRST_TOKEN": b"x"}) is None


async def test_environment_before_references(loaded: Loaded) -> None:
    """What the environment has wins, and the reference is not even followed."""
    whole = loaded(one('password = { file = "missing" }\nusername = "configured"'))
    assert await pair(whole, SET) == ("basic", b"env-user", b"from-env")
    assert await pair(whole, {b"MIRROR_INDEX_FIRST_PASSWORD": b"p"}) == ("basic", b"configured", b"p")


async def test_user_name_alone_is_a_secret(loaded: Loaded) -> None:
    """Some servers want the token as the user name: it is sent with an empty password, and scrubbed."""
    assert await pair(loaded(one()), {b"MIRROR_INDEX_FIRST_USERNAME": b"token-as-user"}) == (
        "basic",
        b"token-as-user",
        b"",
    )
    assert scrub("token-as-user") == "***"
    explicit = {b"MIRROR_INDEX_FIRST_USERNAME": b"token-as-user", b"MIRROR_INDEX_FIRST_PASSWORD": b""}
    assert await pair(loaded(one('password = { env = "P" }')), explicit) == ("basic", b"token-as-user", b"")


async def test_user_name_variable_completes_a_reference(loaded: Loaded) -> None:
    """A user name from the environment goes with the configured password; it may be empty."""
    whole = loaded(one('password = { env = "P" }\nusername = "configured"'))
    assert await pair(whole, {b"P": b"pw"}) == ("basic", b"configured", b"pw")
    assert await pair(whole, {b"P": b"pw", b"MIRROR_INDEX_FIRST_USERNAME": b"u"}) == ("basic", b"u", b"pw")
    assert await pair(whole, {b"P": b"pw", b"MIRROR_INDEX_FIRST_USERNAME": b""}) == ("basic", b"", b"pw")


@pytest.mark.parametrize("variable", ["TOKEN", "PASSWORD", "USERNAME"])
async def test_set_but_empty(loaded: Loaded, variable: str) -> None:
    """An empty variable is a mistake, not a reason to go on without credentials."""
    message = await refusal(loaded(one()), {f"MIRROR_INDEX_FIRST_{variable}".encode(): b""})
    assert f"environment variable MIRROR_INDEX_FIRST_{variable}: is set but empty; give it its value" in message


@pytest.mark.parametrize("other", [b"USERNAME", b"PASSWORD"])
async def test_token_and_pair(loaded: Loaded, other: bytes) -> None:
    """A token beside a user name or password says two things at once."""
    environ = {b"MIRROR_INDEX_FIRST_TOKEN": b"geheimnis", b"MIRROR_INDEX_FIRST_" + other: b"geheimnis"}
    assert "unset MIRROR_INDEX_FIRST_TOKEN, or the other one" in await refusal(loaded(one()), environ)


@pytest.mark.parametrize("token", [b"geheimnis\r\nX: y", b"geheimnis\x7f", b"geheimnis "])
async def test_token_that_no_header_can_carry(loaded: Loaded, token: bytes) -> None:
    """A token with a control character is refused before it gets near a header."""
    message = await refusal(loaded(one()), {b"MIRROR_INDEX_FIRST_TOKEN": token})
    assert "the token holds a control character" in message


ENV_BYTES = st.binary(min_size=1, max_size=40).map(lambda value: value.replace(b"\0", b"0"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(username=ENV_BYTES | st.just(b""), password=ENV_BYTES)
async def test_any_bytes(loaded: Loaded, username: bytes, password: bytes) -> None:
    """Whatever bytes a variable holds, they are the credential's, unchanged."""
    environ = {b"MIRROR_INDEX_FIRST_USERNAME": username, b"MIRROR_INDEX_FIRST_PASSWORD": password}
    assert await pair(loaded(one()), environ) == ("basic", username, password)
    assert await pair(
        loaded(one('token = { env = "P" }')), {b"P": b"t" + password.translate(None, CONTROLS).rstrip()}
    ) == (
        "bearer",
        b"",
        b"t" + password.translate(None, CONTROLS).rstrip(),
    )


CONTROLS = bytes([*range(32), 127])


# When


async def test_never(loaded: Loaded) -> None:
    """An index that never authenticates gets nothing, and its sources are not asked."""
    assert await resolve(loaded(one('authenticate = "never"\ntoken = { file = "missing" }')), SET) is None


async def test_always_without_credentials(loaded: Loaded) -> None:
    """An index that must authenticate says which variables to set."""
    message = await refusal(loaded(one('authenticate = "always"')))
    assert "no credentials were found; set MIRROR_INDEX_FIRST_USERNAME and MIRROR_INDEX_FIRST_PASSWORD" in message
    assert await pair(loaded(one('authenticate = "always"')), SET) == ("basic", b"env-user", b"from-env")


async def test_plain_http(loaded: Loaded) -> None:
    """A variable cannot bring a credential onto plain http, unless the index allows it or is this machine."""
    message = await refusal(loaded(one(url="http://example.com/")), SET)
    assert "environment variable MIRROR_INDEX_FIRST_PASSWORD: the index is plain http" in message
    assert await resolve(loaded(one("allow-insecure = true", "http://example.com/")), SET)
    assert await resolve(loaded(one(url="http://127.0.0.1:8080/")), SET)


async def test_user_name_without_password(loaded: Loaded) -> None:
    """A configured user name whose password is nowhere is an error, not an anonymous visit."""
    message = await refusal(loaded(one('username = "me"')))
    assert "no password was found; set MIRROR_INDEX_FIRST_PASSWORD" in message


# Files


@pytest.mark.parametrize(
    ("content", "secret"),
    [(b"pw", b"pw"), (b"pw\n", b"pw"), (b"pw\r\n", b"pw"), (b"pw\n\n", b"pw\n"), (b" p\xff\r", b" p\xff\r")],
)
async def test_file(loaded: Loaded, tmp_path: Path, content: bytes, secret: bytes) -> None:
    """A file's bytes are the secret, without one final newline; they are read again at every call."""
    file = tmp_path / "secret"
    file.write_bytes(content)
    file.chmod(0o600)
    resolver = SecretResolver(whole := loaded(one('password = { file = "secret" }')), environ=NOTHING)
    for expected in (secret, b"renewed"):
        found = await resolver.credential(whole.indexes[0])
        assert found is not None
        assert (found.secret.reveal(), found.expires) == (expected, None)
        file.write_bytes(b"renewed")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644])
async def test_file_that_others_can_read(loaded: Loaded, write: Write, mode: int) -> None:
    """A secret that group or others can touch is refused, with the command that helps."""
    file = write("geheimnis", "secret", mode)
    message = await refusal(loaded(one('password = { file = "secret" }')))
    assert f"others can read it (mode {mode:04o}); run: chmod 600 {file}" in message


async def test_file_problems(loaded: Loaded, write: Write, tmp_path: Path) -> None:
    """A file that is missing, empty, too large or no file is refused with its reason."""
    whole = loaded(one('token = { file = "secret" }'))
    assert "cannot be read (No such file or directory)" in await refusal(whole)
    write("\n", "secret")
    assert "holds nothing; put the secret there" in await refusal(whole)
    write("geheimnis" * 8000, "secret")
    assert "is larger than 65536 bytes" in await refusal(whole)
    (tmp_path / "secret").unlink()
    (tmp_path / "secret").mkdir()
    assert "is not a regular file" in await refusal(whole)
    (tmp_path / "secret").rmdir()
    os.mkfifo(tmp_path / "secret", 0o600)
    assert "is not a regular file" in await refusal(whole)


async def test_largest_file(loaded: Loaded, write: Write) -> None:
    """64 KiB are allowed."""
    write("x" * 65536, "secret")
    assert len((await pair(loaded(one('token = { file = "secret" }'))))[2]) == 65536


async def test_systemd(loaded: Loaded, write: Write, tmp_path: Path) -> None:
    """A systemd credential is the file of that name in $CREDENTIALS_DIRECTORY, whatever its mode there."""
    write("pw\n", "first", 0o444)
    environ = {b"CREDENTIALS_DIRECTORY": os.fsencode(tmp_path)}
    assert await pair(loaded(one('token = { systemd = "first" }')), environ) == ("bearer", b"", b"pw")
    assert await pair(loaded(one('token = { file = "first" }')), environ) == ("bearer", b"", b"pw")
    missing = await refusal(loaded(one('token = { systemd = "other" }')), environ)
    assert "systemd credential other: cannot be read" in missing
    assert "start this program from a unit with LoadCredential=first" in await refusal(
        loaded(one('token = { systemd = "first" }'))
    )


async def test_own_variable(loaded: Loaded) -> None:
    """A variable of the user's own naming must be set."""
    whole = loaded(one('token = { env = "MINE" }'))
    assert await pair(whole, {b"MINE": b"pw\n"[:2]}) == ("bearer", b"", b"pw")
    assert "environment variable MINE: is not set, or empty; set it" in await refusal(whole, {b"MINE": b""})


# Commands


async def test_command(loaded: Loaded) -> None:
    """A command's output is the secret, without one newline; it runs without a shell and with nothing to read."""
    code = "import sys; print(sys.argv[1] + sys.stdin.read())"
    whole = loaded(one(f"password = {command(code, '$HOME;x')}"))
    assert await pair(whole) == ("basic", b"", b"$HOME;x")


async def test_command_has_the_environment(loaded: Loaded) -> None:
    """A command sees the variables that the resolver sees, bytes and all."""
    code = "import os, sys; sys.stdout.buffer.write(os.environb[b'V'])"
    assert (await pair(loaded(one(f"password = {command(code)}")), {b"V": b"\xff\xfe"}))[2] == b"\xff\xfe"


async def test_command_expires(loaded: Loaded) -> None:
    """ttl counts from before the command ran; every call runs it again."""
    ticks = itertools.count(100.0, 10.0)
    whole = loaded(one(f"token = {command('import os; print(os.getpid())', ttl=', ttl = 50')}"))
    resolver = SecretResolver(whole, environ=NOTHING, clock=lambda: next(ticks))
    first, second = [await resolver.credential(whole.indexes[0]) for _ in range(2)]
    assert first is not None
    assert second is not None
    assert (first.expires, second.expires) == (150.0, 160.0)
    assert first.secret != second.secret


async def test_command_that_fails(loaded: Loaded, capfd: pytest.CaptureFixture[str]) -> None:
    """A failed command is named by its exit code; what it printed is shown nowhere."""
    code = "import sys; print('geheimnis'); print('geheimnis', file=sys.stderr); sys.exit(3)"
    message = await refusal(loaded(one(f"token = {command(code, 'geheimnis')}")))
    assert f"command {sys.executable}: failed with exit code 3; run it by hand" in message
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


async def test_command_problems(loaded: Loaded) -> None:
    """A command that is missing, silent, or endless is refused with its reason."""
    missing = await refusal(loaded(one("token = { command = ['/no/such/program', 'geheimnis'] }")))
    assert "command /no/such/program: cannot be started (No such file or directory)" in missing
    assert "NUL in an argument" in await refusal(loaded(one('token = { command = ["/bin/true", "\\u0000"] }')))
    assert "holds nothing" in await refusal(loaded(one(f"token = {command('pass')}")))
    whole = loaded(one(f"token = {command('while True: print(chr(103) * 1000)')}"))
    assert "printed more than 65536 bytes" in await refusal(whole)


async def test_command_that_hangs(loaded: Loaded) -> None:
    """A command that does not end is killed when its time is over."""
    whole = loaded(one(f"token = {command('import time; time.sleep(600)')}"))
    source = whole.secrets[whole.indexes[0].name].token
    assert source is not None
    with pytest.raises(SecretUnavailable, match=r"did not end within 0\.3 seconds; let it ask for nothing"):
        await references.read(whole.indexes[0].name, source, NOTHING, seconds=0.3)
    assert references.COMMAND_SECONDS == 60


# uv's userinfo


async def test_userinfo(write: Write) -> None:
    """Userinfo of uv's URL comes after the environment and the references, and is never mixed with another user."""
    uv = write('[[index]]\nname = "first"\nurl = "https://me:pw@example.com/"', "uv.toml")
    whole = load(None, from_uv=uv, root=Path("/r"))
    assert await pair(whole) == ("basic", b"me", b"pw")
    assert await pair(whole, UV) == ("basic", b"uv-user", b"from-uv")
    assert await pair(whole, {b"UV_INDEX_FIRST_USERNAME": b"me"}) == ("basic", b"me", b"pw")
    assert await pair(whole, {b"UV_INDEX_FIRST_USERNAME": b"other"}) == ("basic", b"other", b"")
    assert await pair(whole, {b"UV_INDEX_FIRST_PASSWORD": b"new"}) == ("basic", b"me", b"new")
    more = write('root = "/r"\n[[index]]\nname = "first"\npassword = { env = "P" }')
    assert await pair(load(more, from_uv=uv), {b"P": b"ref"}) == ("basic", b"me", b"ref")


async def test_userinfo_without_password(write: Write) -> None:
    """A user name alone in uv's URL is sent as it is when nothing has a password for it."""
    uv = write('[[index]]\nname = "first"\nurl = "https://t0ken@example.com/"', "uv.toml")
    assert await pair(load(None, from_uv=uv, root=Path("/r"))) == ("basic", b"t0ken", b"")


# netrc

NETRC = """
machine other.example.com login other password geheimnis
machine example.com login me password pw
machine example.com:8443 login me8443 password pw8443
machine [::1]:8443 login six password pw6
machine half.example.com login half
machine nameless.example.com password pw
machine default login trap password trap
default login anyone password geheimnis
"""


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://example.com/simple", (b"me", b"pw")),
        ("https://example.com:443/simple", (b"me", b"pw")),
        ("https://example.com:8443/simple", (b"me8443", b"pw8443")),
        ("https://[::1]:8443/simple", (b"six", b"pw6")),
        ("https://nameless.example.com/simple", (b"", b"pw")),
        ("https://half.example.com/simple", None),
        ("https://example.com:9/simple", None),
        ("https://unknown.example.com/simple", None),
        ("https://default/simple", None),
    ],
)
async def test_netrc(loaded: Loaded, write: Write, url: str, found: tuple[bytes, bytes] | None) -> None:
    """netrc is asked for the host, with its port unless it is the scheme's own; `default` never answers."""
    environ = {b"NETRC": os.fsencode(write(NETRC, "netrc"))}
    if found is None:
        assert await resolve(loaded(one("netrc = true", url)), environ) is None
    else:
        assert await pair(loaded(one("netrc = true", url)), environ) == ("basic", *found)


async def test_netrc_is_opt_in(loaded: Loaded, write: Write) -> None:
    """Without netrc = true the file is not read."""
    environ = {b"NETRC": os.fsencode(write(NETRC, "netrc"))}
    assert await resolve(loaded(one()), environ) is None


async def test_netrc_at_home(loaded: Loaded, write: Write, tmp_path: Path) -> None:
    """Without NETRC, ~/.netrc is read; a missing file, or home, has no entry."""
    whole = loaded(one("netrc = true"))
    environ = {b"HOME": os.fsencode(tmp_path)}
    assert await resolve(whole) is None
    assert await resolve(whole, environ) is None
    write(NETRC, ".netrc")
    assert await pair(whole, environ) == ("basic", b"me", b"pw")


async def test_netrc_for_the_configured_user(loaded: Loaded, write: Write) -> None:
    """An entry for another user than the configured one is not used; one without a user is completed."""
    environ = {b"NETRC": os.fsencode(write(NETRC, "netrc"))}
    assert await pair(loaded(one('netrc = true\nusername = "me"')), environ) == ("basic", b"me", b"pw")
    assert "no password was found" in await refusal(loaded(one('netrc = true\nusername = "you"')), environ)
    nameless = loaded(one('netrc = true\nusername = "you"', "https://nameless.example.com/"))
    assert await pair(nameless, environ) == ("basic", b"you", b"pw")


async def test_netrc_problems(loaded: Loaded, write: Write, tmp_path: Path) -> None:
    """A netrc that others can read, that is broken, or that is no file is refused, without its text."""
    whole = loaded(one("netrc = true"))
    environ = {b"NETRC": os.fsencode(tmp_path / "netrc")}
    write(NETRC, "netrc", 0o644)
    assert "others can read it (mode 0644)" in await refusal(whole, environ)
    write("machine example.com\nlogin x geheimnis y", "netrc")
    assert "cannot be parsed (line" in await refusal(whole, environ)
    (tmp_path / "netrc").write_bytes(b"machine example.com login geheimnis password \xff")
    assert "is not UTF-8; save it as UTF-8" in await refusal(whole, environ)
    below = {b"NETRC": os.fsencode(tmp_path / "netrc" / "x")}
    assert "cannot be read (Not a directory)" in await refusal(whole, below)


# keyring


class MemoryKeyring(KeyringBackend):  # type: ignore[misc, unused-ignore] # untyped where keyring is not installed
    """Passwords by service and user name; without a user name, the service's first."""

    priority = 1
    url = "https://example.com:8443/first/simple"

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries = {(self.url, "me"): "pw", ("https://empty.example.com/", "me"): ""}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def get_credential(self, service: str, username: str | None) -> SimpleCredential | None:
        if service == "https://broken.example.com/":
            raise RuntimeError("geheimnis")
        for (held, user), password in self.entries.items():
            if held == service and username in (None, user):
                return SimpleCredential(user, password)
        return SimpleCredential("me", "pw") if service == "https://anyone.example.com/" else None


@pytest.fixture
def memory_keyring() -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(MemoryKeyring())
    yield
    keyring.set_keyring(before)


@pytest.mark.usefixtures("memory_keyring")
async def test_keyring(loaded: Loaded) -> None:
    """The keyring is asked for the URL exactly as configured, with its port, and only after opting in."""
    assert await pair(loaded(one("keyring = true", MemoryKeyring.url))) == ("basic", b"me", b"pw")
    assert await pair(loaded(one('keyring = true\nusername = "me"', MemoryKeyring.url))) == ("basic", b"me", b"pw")
    assert await resolve(loaded(one("", MemoryKeyring.url))) is None
    assert await resolve(loaded(one("keyring = true", MemoryKeyring.url + "/"))) is None
    assert await resolve(loaded(one("keyring = true", "https://empty.example.com/"))) is None
    other = {b"MIRROR_INDEX_FIRST_USERNAME": b"other"}
    assert await pair(loaded(one("keyring = true", "https://anyone.example.com/")), other) == ("basic", b"other", b"")
    assert await pair(loaded(one("keyring = true", MemoryKeyring.url)), other) == ("basic", b"other", b"")


@pytest.mark.usefixtures("memory_keyring")
async def test_netrc_before_keyring(loaded: Loaded, write: Write) -> None:
    """netrc's answer is taken first; without one the keyring is asked."""
    whole = loaded(one("netrc = true\nkeyring = true", MemoryKeyring.url))
    environ = {b"NETRC": os.fsencode(write(NETRC, "netrc"))}
    assert await pair(whole, environ) == ("basic", b"me8443", b"pw8443")
    assert await pair(whole) == ("basic", b"me", b"pw")


@pytest.mark.usefixtures("memory_keyring")
async def test_keyring_backend_fails(loaded: Loaded) -> None:
    """A backend may raise anything: the index is named, the backend's message is not repeated."""
    message = await refusal(loaded(one("keyring = true", "https://broken.example.com/")))
    assert "keyring: the backend failed (RuntimeError); unlock the keyring" in message


async def test_keyring_is_not_installed(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package, the error says how to install it."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    message = await refusal(loaded(one("keyring = true")))
    assert message.endswith("the package is not installed; run: pip install 'index-mirror[keyring]'")


def test_sources_print_no_secret(loaded: Loaded) -> None:
    """Arguments of a command and the URL's path are left out of what may be printed."""
    whole = loaded(one("token = { command = ['a', 'geheimnis'] }", "https://example.com/geheimnis/simple"))
    assert "geheimnis" not in repr(whole) + repr(whole.secrets)
    assert dataclasses.is_dataclass(whole)
