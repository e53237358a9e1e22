"""Real package servers, each started fresh on a loopback port and ended with the block.

None of them can reach a public index: fallbacks, mirrors and feeds are switched off, unless a
test asks for pypiserver's fallback to see what a redirect does.
"""

import contextlib
import hashlib
import json
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirror.cli.wheels import Artifact
from tests.world.nginx import nginx
from tests.world.origins import LOOPBACK, free_port
from tests.world.processes import accepting, beside_python, environment, running

READER = "reader"
PASSWORD = "reads-packages"
_JSON = "application/vnd.pypi.simple.v1+json"
_LOOKS = 2_000


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: the index URL (with a slash), who may read it, and how to add a file."""

    url: str
    username: str
    password: str
    add: Callable[[Artifact], None]
    process: subprocess.Popen[bytes]


@dataclass(frozen=True, slots=True)
class Pypiron(Server):
    """pypiron, with what only it can do."""

    root: str = ""
    admin: tuple[str, str] = ("", "")

    def yank(self, artifact: Artifact, reason: str = "") -> None:
        """Yank a file; an empty reason means none."""
        _send("POST", self._file(artifact) + "/yank", self.admin, reason.encode())
        self._until(_project(artifact), lambda page: _yanked(page, artifact) == (reason or True))

    def unyank(self, artifact: Artifact) -> None:
        """Take a yank back."""
        _send("DELETE", self._file(artifact) + "/yank", self.admin)
        self._until(_project(artifact), lambda page: not _yanked(page, artifact))

    def status(self, project: str, status: str, reason: str | None = None) -> None:
        """Set a project's status marker; `active` takes it off."""
        body = json.dumps({"status": status, "reason": reason}).encode()
        _send("POST", f"{self.root}/project/{project}/status", self.admin, body, "application/json")
        self._until(project, lambda page: page.get("project-status", {}).get("status", "active") == status)

    def _until(self, project: str, shows: Callable[[dict[str, Any]], bool]) -> None:
        """Return once the project's page shows a change: the server answers first and writes its pages then."""
        for _ in range(_LOOKS):
            if shows(_send("GET", f"{self.url}{project}/", (self.username, self.password), accept=_JSON)):
                return
        raise RuntimeError(f"the page of {project} never showed the change")

    def token(self) -> tuple[str, str]:
        """A (user name, password) pair for reading that lives five minutes."""
        body = json.dumps({"role": "reader"}).encode()
        reader = (self.username, self.password)
        answer = _send("POST", f"{self.root}/tokens", reader, body, "application/json")
        return answer["username"], answer["token"]

    def _file(self, artifact: Artifact) -> str:
        return f"{self.root}/files/{_project(artifact)}/{artifact.filename}"


@contextlib.contextmanager
def pypiserver(
    directory: Path,
    *,
    username: str = READER,
    password: str = PASSWORD,
    fallback: str | None = None,
) -> Iterator[Server]:
    """Run pypiserver with lists, downloads and uploads behind one htpasswd user.

    A missing project is 404, or is redirected to `fallback` when that is given.
    """
    packages = directory / "packages"
    packages.mkdir(parents=True)
    digest = b64encode(hashlib.sha1(password.encode(), usedforsecurity=False).digest()).decode()
    (directory / "htpasswd").write_text(f"{username}:{{SHA}}{digest}\n")
    port = free_port()
    command: list[str | Path] = [
        *(str(beside_python("pypi-server")), "run", "-i", LOOPBACK, "-p", str(port), "--backend", "simple-dir"),
        *("-a", "list,download,update", "-P", str(directory / "htpasswd"), "--server", "wsgiref"),
        *(["--disable-fallback"] if fallback is None else ["--fallback-url", fallback]),
        str(packages),
    ]

    def add(artifact: Artifact) -> None:
        (packages / artifact.filename).write_bytes(artifact.content)

    env = environment(directory / "home")
    with running(command, log=directory / "log", env=env, ready=lambda: accepting(port)) as process:
        yield Server(f"http://{LOOPBACK}:{port}/simple/", username, password, add, process)


@contextlib.contextmanager
def devpi(directory: Path, *, username: str = READER, password: str = PASSWORD) -> Iterator[Server]:
    """Run devpi-server with one index, root/own, read through nginx's Basic authentication.

    devpi itself has no reading permissions without a plugin; uploads go to it directly.
    """
    data = directory / "data"
    directory.mkdir(parents=True, exist_ok=True)
    env = environment(directory / "home")
    owner = ("root", "owns-devpi")
    init: list[str | Path] = [
        beside_python("devpi-init"),
        "--serverdir",
        data,
        "--no-root-pypi",
        "--root-passwd",
        owner[1],
    ]
    subprocess.run(init, check=True, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    port = free_port()
    root = f"http://{LOOPBACK}:{port}"
    command: list[str | Path] = [
        *(beside_python("devpi-server"), "--serverdir", data, "--host", LOOPBACK, "--port", str(port)),
        *("--offline-mode", "--threads", "4"),
    ]

    def add(artifact: Artifact) -> None:
        _upload(f"{root}/root/own/", owner, artifact)

    front = f"""
    location / {{
      auth_basic "devpi"; auth_basic_user_file {directory}/passwords;
      proxy_set_header Host $http_host;
      proxy_set_header X-outside-url $scheme://$http_host;
      proxy_set_header Authorization "";
      proxy_pass {root};
    }}"""
    (directory / "passwords").write_text(f"{username}:{{PLAIN}}{password}\n")
    with (
        running(command, log=directory / "log", env=env, ready=lambda: accepting(port)) as process,
        nginx(directory / "nginx", extra=front) as gate,
    ):
        body = json.dumps({"type": "stage", "bases": []}).encode()
        _send("PUT", f"{root}/root/own", owner, body, "application/json")
        yield Server(f"{gate.url}/root/own/+simple/", username, password, add, process)


@contextlib.contextmanager
def pypiron(directory: Path, *, username: str = READER, password: str = PASSWORD) -> Iterator[Pypiron]:
    """Run pypiron on disk storage, with a reader, an administrator and tokens.

    Five failed logins from an address within a second bring 429 for a second.
    """
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    root = f"http://{LOOPBACK}:{port}"
    admin = ("admin", "administers-pypiron")
    command: list[str | Path] = [
        *(beside_python("pypiron"), "serve", "--data-dir", directory / "data", "--bind-addr", f"{LOOPBACK}:{port}"),
        *("--read-user", username, "--admin-user", admin[0], "--advisory-feed", "", "--malware-block", "false"),
        *("--login-cooldown-secs", "1", "--wait-on-upload", "--download-stats", "false"),
    ]
    env = environment(
        directory / "home",
        PYPIRON_READ_PASS=password,
        PYPIRON_ADMIN_PASS=admin[1],
        PYPIRON_TOKEN_SIGNING_KEY="a signing key that is long enough for everybody",
    )

    def add(artifact: Artifact) -> None:
        _upload(f"{root}/legacy/", admin, artifact)

    with running(command, log=directory / "log", env=env, ready=lambda: accepting(port)) as process:
        yield Pypiron(f"{root}/simple/", username, password, add, process, root, admin)


def _yanked(page: dict[str, Any], artifact: Artifact) -> Any:
    return next((file.get("yanked") for file in page["files"] if file["filename"] == artifact.filename), None)


def _project(artifact: Artifact) -> str:
    return artifact.filename.partition("-")[0].replace("_", "-")


def _upload(url: str, auth: tuple[str, str], artifact: Artifact) -> None:
    wheel = artifact.filename.endswith(".whl")
    fields = {
        ":action": "file_upload",
        "protocol_version": "1",
        "metadata_version": "2.1",
        "name": _project(artifact),
        "version": artifact.filename.removesuffix(".tar.gz").split("-")[1],
        "filetype": "bdist_wheel" if wheel else "sdist",
        "pyversion": "py3" if wheel else "source",
        "sha256_digest": artifact.sha256,
    }
    boundary = "frontier-0123456789"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    disposition = f'Content-Disposition: form-data; name="content"; filename="{artifact.filename}"'
    parts.append(f"--{boundary}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n".encode())
    parts.append(artifact.content + f"\r\n--{boundary}--\r\n".encode())
    _send("POST", url, auth, b"".join(parts), f"multipart/form-data; boundary={boundary}")


def _send(
    method: str,
    url: str,
    auth: tuple[str, str],
    body: bytes | None = None,
    content_type: str = "text/plain",
    accept: str = "*/*",
) -> dict[str, Any]:
    token = b64encode(":".join(auth).encode()).decode()
    headers = {"Authorization": f"Basic {token}", "Content-Type": content_type, "Accept": accept}
    request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - our own server
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            raise RuntimeError(f"{method} {url}: {error.code} {error.read().decode()}") from None
    return json.loads(text) if text.startswith(b"{") else {}
