"""A URL is judged as it will be sent, and never shown beyond its origin."""

from __future__ import annotations

from urllib.parse import urljoin

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mirror.errors import InvalidUrl
from mirror.model.urls import Origin, has_userinfo, join, url
from mirror.net.transport import get

BASE = url("https://host/a/b/page/")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HTTPS://Host:443/x", "https://host/x"),
        ("http://host:8080", "http://host:8080/"),
        ("https://user:pass@host/x#fragment", "https://host/x"),
        ("https://host/a/./b/../c", "https://host/a/c"),
        ("https://host/../../x", "https://host/x"),
        ("https://host/a/..", "https://host/"),
        ("https://host/é?q=ü", "https://host/%C3%A9?q=%C3%BC"),
        ("https://host/100%", "https://host/100%25"),
        ("https://host/a%2Bb", "https://host/a%2Bb"),
        ("https://[::1]:80/", "https://[::1]:80/"),
        ("https://[0:0:0:0:0:0:0:1]/", "https://[::1]/"),
    ],
)
def test_urls_have_one_form(text: str, expected: str) -> None:
    """Case, default ports, dot segments and encoding are settled once; userinfo and fragment are gone."""
    assert url(text).text == expected


@pytest.mark.parametrize(
    "text",
    [
        "ftp://host/",
        "file:///etc/passwd",
        "data:,x",
        "//host/x",
        "/x",
        "https:///x",
        "https://ho st/",
        "https://host\\@evil/",
        "https://host/\x00",
        "https://host:0/",
        "https://host:99999/",
        "https://host:x/",
        "https://[::1/",
        "https://[zz::]/",
        "https://[v1.a:b]/",
        "https://[fe80::1%eth0]/",
        "https://ho..st/",
        "https://hóst/",
        "https://" + "x" * 20000,
    ],
)
def test_what_is_no_plain_http_url_is_refused(text: str) -> None:
    """Other schemes, tricks with backslashes and spaces, bad hosts and ports."""
    with pytest.raises(InvalidUrl):
        url(text)


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("../x.whl", "https://host/a/b/x.whl"),
        ("/x.whl#sha256=1", "https://host/x.whl"),
        ("//other/x", "https://other/x"),
        ("http://other/x", "http://other/x"),
        ("x%2By.whl?sig=%2F", "https://host/a/b/page/x%2By.whl?sig=%2F"),
        (" x \n", "https://host/a/b/page/x"),
        ("", "https://host/a/b/page/"),
    ],
)
def test_links_are_resolved_before_they_are_judged(href: str, expected: str) -> None:
    """RFC 3986 section 5."""
    assert join(BASE, href).text == expected


@pytest.mark.parametrize(
    "href", ["https:\\\\evil/", "javascript:x", "https:x", "mailto:a@b", "a\\b", "a\tb", "//[x", "//host:0/"]
)
def test_links_that_parsers_read_differently_are_refused(href: str) -> None:
    """A scheme without a host, a backslash, a control character, a broken bracket."""
    with pytest.raises(InvalidUrl):
        join(BASE, href)


def test_nothing_but_the_origin_is_ever_shown() -> None:
    """Paths and queries carry tokens."""
    secret = url("https://host:8443/t0k3n/simple/?sig=s3cret")
    assert (str(secret), repr(secret)) == ("https://host:8443/...", "<Url https://host:8443/...>")


@pytest.mark.parametrize(
    ("path", "prefix", "expected"),
    [
        ("/simple/x", "/simple", True),
        ("/simple", "/simple/", True),
        ("/simpleevil/x", "/simple", False),
        ("/simple/%2e%2e/other", "/simple", False),
        ("/simple/..%2fother", "/simple", False),
        ("/x", "/", True),
    ],
)
def test_paths_are_compared_by_whole_segments(path: str, prefix: str, expected: bool) -> None:
    """And an encoded dot or slash is never below anything."""
    assert url(f"https://host{path}").under(prefix) is expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("localhost", True),
        ("a.localhost", True),
        ("10.0.0.1", False),
    ],
)
def test_loopback_is_this_machine_only(host: str, expected: bool) -> None:
    """A secret may travel in clear there, and nowhere else."""
    origin = url(f"http://{host}/").origin
    assert origin.loopback is origin.secure is expected
    assert url(f"https://{host}/").origin.secure


def test_addresses_beside_a_url() -> None:
    """A project page below an index, a metadata file beside a file, the last segment."""
    index = url("https://host/simple")
    assert index.child("a b").text == "https://host/simple/a%20b/"
    assert url("https://host/simple/").child("x").text == "https://host/simple/x/"
    assert url("https://host/x.whl?sig=1").with_suffix(".metadata").text == "https://host/x.whl.metadata?sig=1"
    assert url("https://host/a/x%2B.whl").last_segment == "x%2B.whl"
    assert str(Origin("https", "::1", 443)) == "https://[::1]"


def test_userinfo_is_noticed() -> None:
    """Also in what is not otherwise a URL."""
    assert has_userinfo("https://a@host/")
    assert not has_userinfo("https://host/a@b")
    assert not has_userinfo("https://[x@/")


PIECES = st.sampled_from(
    [
        "/",
        "//",
        "..",
        ".",
        "%2e",
        "%2F",
        "@",
        ":",
        "#",
        "?",
        "a",
        "é",
        "%",
        "\\",
        " ",
        "[",
        "]",
        "host",
        "443",
        "https:",
        "+",
        ";",
        "&",
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_what_was_judged_is_what_is_sent(href: str) -> None:
    """For every link that we accept, the request line and the host are what the rules saw, without userinfo."""
    try:
        target = join(BASE, href)
    except InvalidUrl:
        return
    sent = get(target, [], {})
    assert sent.extensions["target"] == target.target.encode()
    assert (sent.url.scheme, sent.url.host, sent.url.userinfo) == (target.origin.scheme, target.origin.host, b"")
    assert sent.headers["host"] == sent.url.netloc.decode()
    assert url(target.text) == target
    assert "/../" not in target.path + "/"


def test_above_the_root_there_is_nothing() -> None:
    """RFC 3986 section 5.4.2: what leads further up stays at the root."""
    assert join(BASE, "../../../../../x").text == "https://host/x"
    assert join(url("https://host/a//b/"), "../x") == url("https://host/a/x")


@given(
    st.lists(st.sampled_from(["..", ".", "a", "b-1.0.whl", ".c", "d;e", "", "%41", "é"]), max_size=6).map("/".join),
    st.sampled_from(["", "", "http://h/", "https://h:8443/", "https://h.example:443/", "https://h:0/", "HTTPS://H/"]),
    st.sampled_from(["https://h/", "https://h/a/b/", "https://h/a/b/c.html", "https://h/a//b/", "https://h/a/?q=1"]),
    st.sampled_from(["", "#sha256=ab", "#a b", "#é", "?x=y", "?x=y#z"]),
)
def test_links_are_joined_as_the_standard_library_does(path: str, origin: str, base: str, tail: str) -> None:
    """RFC 3986 section 5: the short way for plain links leads to the same place as the long one."""
    page, href = url(base), origin + path + tail
    assume(href)
    try:
        expected = url(urljoin(page.text, href))
    except InvalidUrl:
        with pytest.raises(InvalidUrl):
            join(page, href)
    else:
        assert join(page, href) == expected


@given(st.text(max_size=40))
def test_any_text_is_a_url_or_refused(text: str) -> None:
    """No other exception."""
    for parse in (url, lambda href: join(BASE, href)):
        try:
            found = parse(text)
        except InvalidUrl:
            continue
        assert found.origin.scheme in ("http", "https")
