"""Names are normalised and safe once they are held; anything else is refused with its reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from mirror.errors import InvalidName
from mirror.model.names import (
    Filename,
    ProjectName,
    digest,
    distribution,
    filename,
    index_name,
    project_name,
    variable_part,
)


@pytest.mark.parametrize("text", ["", "-a", "a/b", "a b", "é", "a" * 65, "..", "a\n"])
def test_an_index_name_is_one_safe_path_component(text: str) -> None:
    """What is no plain name is refused."""
    with pytest.raises(InvalidName):
        index_name(text)


def test_an_index_name_becomes_the_variable_that_uv_reads() -> None:
    """Letters upper-case, everything but letters and digits an underscore."""
    assert variable_part(index_name("my-index.2")) == "MY_INDEX_2"


@pytest.mark.parametrize(("text", "name"), [("A__B", "a-b"), ("a.-_b", "a-b"), ("One", "one"), ("3", "3")])
def test_project_names_are_normalised(text: str, name: str) -> None:
    """PEP 503: runs of separators become one dash, letters become lower-case."""
    assert project_name(text) == name


@pytest.mark.parametrize(
    "text", ["", "_a", "a-", "a b", "ı", "а", "a" * 201, "../a"]
)  # a Cyrillic letter is not an ASCII one
def test_look_alikes_and_odd_project_names_are_refused(text: str) -> None:
    """PEP 508 names are ASCII."""
    with pytest.raises(InvalidName):
        project_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".htaccess",
        "-rf",
        "a/b",
        "a\\b",
        "a\0b",
        "a..b",
        "a%2fb",
        "a:b",
        "a b",
        "a\u202eb",
        "é.whl",
        "a\x7fb",
        "x" * 247,
        "\ud800",
    ],
)
def test_file_names_that_a_path_or_a_person_could_misread_are_refused(text: str) -> None:
    """Separators, escapes, control and bidirectional characters, dots that climb, and long names."""
    with pytest.raises(InvalidName):
        filename(text)


@given(st.text(max_size=300))
def test_a_held_file_name_is_always_one_path_component(text: str) -> None:
    """Whatever came in, what comes out cannot leave a directory."""
    try:
        name = filename(text)
    except InvalidName:
        return
    assert name not in ("", ".", "..")
    assert not set(name) & set("/\\%:\0")
    assert len((name + ".metadata").encode()) <= 255


def test_a_file_belongs_to_its_project() -> None:
    """Wheels and sdists are read by PyPA's rules; the version comes along."""
    found = distribution(filename("Foo_Bar-1.0+local.1-py3-none-any.whl"), project_name("foo-bar"))
    assert (str(found.version), found.wheel) == ("1.0+local.1", True)
    assert not distribution(filename("foo-bar-1.0.tar.gz"), project_name("foo-bar")).wheel


@pytest.mark.parametrize("text", ["other-1.0.tar.gz", "foo-1.0.exe", "foo-bad-py3.whl", "foo.tar.gz", "index.html"])
def test_a_file_of_another_project_or_kind_is_refused(text: str) -> None:
    """The message says which."""
    with pytest.raises(InvalidName, match=r"belongs to project|neither a wheel nor an sdist"):
        distribution(filename(text), project_name("foo"))


def test_a_name_that_stands_for_thousands_of_tags_is_refused() -> None:
    """The parts of a compressed tag set multiply: one name must not cost what a page does."""
    versions, places = (".".join(f"{word}{n}" for n in range(16)) for word in ("py", "p"))
    assert len(distribution(filename(f"a-1-{versions}-none-{places}.whl"), project_name("a")).tags) == 256
    with pytest.raises(InvalidName, match="neither a wheel"):
        distribution(filename(f"a-1-{versions}-none-{places}.p16.whl"), project_name("a"))


WHEEL_PARTS = ["foo", "Foo", "f_oo", "f__oo", "1.0", "1!2.0+x.1", "x", "7", "b7", "py2.py3", "none", "any", "", "a..b"]


@given(st.lists(st.sampled_from(WHEEL_PARTS), min_size=1, max_size=7).map("-".join))
def test_wheel_names_are_those_of_packaging(stem: str) -> None:
    """What it takes for a project is taken, with its version; what it refuses is refused."""
    name = Filename(f"{stem}.whl")
    try:
        project, version, _, _ = parse_wheel_filename(name)
    except InvalidWheelFilename:
        with pytest.raises(InvalidName, match="neither a wheel"):
            distribution(name, project_name("foo"))
    else:
        found = distribution(name, ProjectName(project))
        assert (found.project, found.version, found.wheel) == (str(project), version, True)


def test_odd_old_names_can_be_allowed() -> None:
    """An egg or an installer of the project has no version that could be selected by."""
    found = distribution(filename("foo-1.0-py2.7.egg"), project_name("foo"), legacy=True)
    assert found.version is None
    for text in ("bar-1.0.egg", "foo-1.0.html"):
        with pytest.raises(InvalidName):
            distribution(filename(text), project_name("foo"), legacy=True)


def test_the_message_cuts_and_escapes_what_was_sent() -> None:
    """No control character and no long text reaches a terminal."""
    with pytest.raises(InvalidName) as caught:
        filename("\x1b[31m/" + "x" * 1000)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_digests_that_can_be_checked_are_kept_in_one_form() -> None:
    """Upper case is lower, unknown algorithms and wrong lengths are none."""
    assert str(digest("SHA256", " " + "AB" * 32)) == f"sha256={'ab' * 32}"
    assert digest("sha256", "ab") is None
    assert digest("crc32", "abcdef01") is None
    assert digest("md5", "g" * 32) is None
