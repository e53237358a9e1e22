"""Pages as real servers write them become exactly these links.

pypiserver, devpi and pypiron were run and their answers saved; the others are written after the servers'
source or documentation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from mirror.errors import BadPage
from mirror.model import urls
from mirror.model.files import FileLink, Source, Status
from mirror.model.names import Digest, Filename
from tests.simple.samples import HTML, INDEX, JSON, PROJECT, SDIST, WHEEL, listed, parsed

GOLDEN = Path(__file__).parent / "golden"
LOCAL = "acme_widgets-1.1+local.1-py3-none-any.whl"
SHA256 = {
    WHEEL: Digest("sha256", "d4b8a25a3c087bfe668bb88102fdafe7c0138de938e1de55776afeccd455b80c"),
    SDIST: Digest("sha256", "6ae474deacc7b43c8a0093010cf9eb641d5acfbb9eab9121048c983488c55d2e"),
    LOCAL: Digest("sha256", "b6cc060d37dcb09de669cb186166ec54105982ebda7a9672cf6716cfca0fcba8"),
}
MD5 = Digest("md5", "0123456789abcdef0123456789abcdef")
METADATA_OF_WHEEL = Digest("sha256", "5cebe19af7d929d6fab9886b24333fb2a01c50e8f4af0e6a6f941ab56b81c112")
METADATA_OF_LOCAL = Digest("sha256", "77c647a7195dd8cdfc467fdfaa2ac88c708e450ddf95f6ed450c1f4c2c1cb7ac")
GITLAB = "https://gitlab.example.com/api/v4/projects/2177/packages/pypi"
AZURE = "https://pkgs.example.com/acme/_packaging/6a1f0b52-6f7e-4a39-9d0c-1f6a4c1c2b11/pypi/download"
IRON = "https://iron.example/files/acme-widgets"

Expected = tuple[str, str, dict[str, Any]]
PYPISERVER: list[Expected] = [
    (WHEEL, f"https://ps.example/packages/{WHEEL}", {}),
    (SDIST, f"https://ps.example/packages/{SDIST}", {}),
    (LOCAL, f"https://ps.example/packages/{LOCAL}", {}),
]
DEVPI: list[Expected] = [
    (LOCAL, f"https://devpi.example/root/dev/+f/b6c/c060d37dcb09d/{LOCAL}", {"requires_python": ">=3.9,<4"}),
    (WHEEL, f"https://devpi.example/root/dev/+f/d4b/8a25a3c087bfe/{WHEEL}", {"requires_python": ">=3.8"}),
    (SDIST, f"https://devpi.example/root/dev/+f/6ae/474deacc7b43c/{SDIST}", {"requires_python": ">=3.8"}),
]
IRON_HTML: list[Expected] = [
    (WHEEL, f"{IRON}/{WHEEL}", {"requires_python": ">=3.8", "core_metadata": METADATA_OF_WHEEL}),
    (SDIST, f"{IRON}/{SDIST}", {"requires_python": ">=3.8", "yanked": "broken & <old>"}),
    (LOCAL, f"{IRON}/{LOCAL}", {"requires_python": ">=3.9,<4", "core_metadata": METADATA_OF_LOCAL}),
]
IRON_JSON: list[Expected] = [
    (name, url, facts | {"size": size, "upload_time": f"2026-11-22T12:36:{second}Z"})
    for (name, url, facts), size, second in zip(IRON_HTML, (1067, 10263, 1166), (56, 57, 58), strict=True)
]
CASES: list[tuple[str, str, str, list[Expected]]] = [
    ("pypiserver.html", HTML, "https://ps.example/simple/acme-widgets/", PYPISERVER),
    ("devpi.json", JSON, "https://devpi.example/root/dev/+simple/acme-widgets/", DEVPI),
    ("devpi.html", "text_html", "https://devpi.example/root/dev/+simple/acme-widgets/", [DEVPI[i] for i in (0, 2, 1)]),
    ("pypiron.json", JSON, "https://iron.example/simple/acme-widgets/", IRON_JSON),
    ("pypiron.html", HTML, "https://iron.example/simple/acme-widgets/", IRON_HTML),
    (
        "gitlab.html",
        HTML,
        "https://gitlab.example.com/api/v4/projects/group%2Fproject/packages/pypi/simple/acme-widgets",
        [
            (SDIST, f"{GITLAB}/files/{SHA256[SDIST].hex}/{SDIST}", {}),
            (WHEEL, f"{GITLAB}/files/{SHA256[WHEEL].hex}/{WHEEL}", {"requires_python": ">=3.8"}),
        ],
    ),
    (
        "gitlab.json",
        JSON,
        f"{GITLAB}/simple/acme-widgets",
        [(WHEEL, f"{GITLAB}/files/{SHA256[WHEEL].hex}/{WHEEL}", {"requires_python": ">=3.8"})],
    ),
    (
        "artifactory.html",
        HTML,
        "https://art.example/artifactory/api/pypi/local/simple/acme-widgets/",
        [
            (
                WHEEL,
                f"https://art.example/artifactory/api/pypi/local/acme-widgets/1.0/{WHEEL}",
                {"requires_python": ">=3.8"},
            ),
            (SDIST, f"https://art.example/artifactory/api/pypi/local/packages/8f/2c/{SDIST}", {}),
        ],
    ),
    (
        "nexus.html",
        HTML,
        "https://nexus.example/repository/pypi/simple/acme-widgets/",
        [
            (
                SDIST,
                f"https://nexus.example/repository/pypi/packages/acme-widgets/1.0/{SDIST}",
                {"requires_python": ">=3.8", "digests": (MD5,)},
            ),
            (WHEEL, f"https://files.example.net/packages/{WHEEL}", {}),
        ],
    ),
    (
        "codeartifact.html",
        HTML,
        "https://aws.example/pypi/repo/simple/acme-widgets/",
        [(WHEEL, f"https://aws.example/pypi/repo/simple/acme-widgets/1.0/{WHEEL}", {"requires_python": ">=3.8"})],
    ),
    (
        "codeartifact.json",
        JSON,
        "https://aws.example/pypi/repo/simple/acme-widgets/",
        [(WHEEL, f"https://aws.example/pypi/repo/simple/acme-widgets/1.0/{WHEEL}", {"size": 1067})],
    ),
    (
        "azure.html",
        HTML,
        "https://pkgs.example.com/acme/_packaging/feed/pypi/simple/acme-widgets/",
        [
            (
                WHEEL,
                f"{AZURE}/acme-widgets/1/{WHEEL}",
                {"requires_python": ">=3.8"},
            )
        ],
    ),
    (
        "pypi.json",
        JSON,
        "https://index.example/simple/acme-widgets/",
        [
            (
                SDIST,
                f"https://files.example.org/packages/6a/e4/{SDIST}",
                {
                    "digests": (SHA256[SDIST], MD5),
                    "size": 10263,
                    "yanked": "broken",
                    "upload_time": "2026-11-22T12:36:57.123456Z",
                    "core_metadata": SHA256[WHEEL],
                },
            )
        ],
    ),
    (
        "pytorch.html",
        "text/html",
        "https://wheels.example.org/whl/cpu/acme-widgets/",
        [
            (
                LOCAL,
                f"https://wheels.example.org/whl/cpu/{LOCAL.replace('+', '%2B')}",
                {"core_metadata": SHA256[WHEEL]},
            ),
            (WHEEL, f"https://other.example.org/whl/{WHEEL}", {"digests": ()}),
        ],
    ),
    (
        "gitea-old.html",
        HTML,
        "https://git.example.com/api/packages/acme/pypi/simple/acme-widgets/",
        [
            (
                SDIST,
                f"https://git.example.com/api/packages/acme/pypi/files/acme-widgets/1.0/{SDIST}",
                {"requires_python": ">=3.8"},
            )
        ],
    ),
]


@pytest.mark.parametrize(("name", "content_type", "page_url", "expected"), CASES, ids=[case[0] for case in CASES])
def test_a_servers_project_page_becomes_these_links(
    name: str, content_type: str, page_url: str, expected: list[Expected]
) -> None:
    """Every fact of every file, in the page's order, and nothing refused."""
    source = Source(index=INDEX, project=PROJECT, page_url=urls.url(page_url))
    page = parsed((GOLDEN / name).read_bytes(), content_type, source=source)
    wanted = []
    for filename, url, facts in expected:
        link = FileLink(source=source, url=urls.url(url), filename=Filename(filename), digests=(SHA256[filename],))
        wanted.append(msgspec.structs.replace(link, **facts))
    assert list(page.links) == wanted
    assert [link.url.text for link in page.links] == [url for _, url, _ in expected]
    assert page.refused == ()
    assert page.warnings == ()
    deprecated = Status(status="deprecated", reason="use other-tool")
    assert page.status == (deprecated if name.startswith("pypiron") else Status())


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("pypiserver-list.html", HTML),
        ("devpi-list.html", "text_html"),
        ("pypiron-list.json", JSON),
        ("gitlab-list.html", HTML),
    ],
)
def test_a_servers_project_list_becomes_these_names(name: str, content_type: str) -> None:
    """Normalised names in the index's order, whatever the hrefs look like."""
    projects = listed((GOLDEN / name).read_bytes(), content_type)
    assert projects.projects == ("acme-widgets", "other-tool")
    assert projects.refused == ()


def test_devpi_lists_projects_in_its_own_order() -> None:
    """The order is the index's: it is not sorted on the way in."""
    assert listed((GOLDEN / "devpi-list.json").read_bytes()).projects == ("other-tool", "acme-widgets")


def test_a_login_page_is_neither_a_page_nor_a_list() -> None:
    """Its link to a forgotten password is no project, and its lack of files is no empty project."""
    body = (GOLDEN / "login.html").read_bytes()
    with pytest.raises(BadPage, match="login page"):
        parsed(body, HTML)
    with pytest.raises(BadPage, match="login page"):
        listed(body, HTML)
