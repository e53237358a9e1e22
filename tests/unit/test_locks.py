"""Lock files: what the tools wrote is read in full, and what nobody could have written is told with its place."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.pylock import Pylock

from mirror.locks.poetry import PYPI
from mirror.locks.read import read
from mirror.model.locks import MAX_LOCK, Lock
from mirror.model.secret import scrub

SAMPLES = Path(__file__).parent / "locks"
MADE = sorted(path.name for path in SAMPLES.iterdir())
SHA = "ab" * 32
FILE = re.compile(r'[^"/= {]+\.(?:whl|tar\.gz)\b')
DIGEST = re.compile(r"[0-9a-f]{64}")


def loader(files: Mapping[str, str | bytes]) -> Callable[[Path], bytes | str]:
    """A disk that has these files and no others."""

    def load(path: Path) -> bytes | str:
        content = files.get(str(path))
        if content is None:
            return "there is no such file"
        return content.encode() if isinstance(content, str) else content

    return load


def lock(text: str | bytes, name: str = "a.lock", **others: str) -> Lock:
    """The lock that `text` is."""
    found = read(Path(name), loader({name: text, **others}))
    assert isinstance(found, Lock), found
    return found


def wrong(text: str | bytes, name: str = "a.lock", **others: str) -> list[str]:
    """What is wrong with `text`: place and problem."""
    found = read(Path(name), loader({name: text, **others}))
    assert not isinstance(found, Lock)
    assert all(problem.instead for problem in found)
    return [f"{problem.where}: {problem.what}" for problem in found]


@pytest.mark.parametrize("name", MADE)
def test_a_sample_is_read_in_full(name: str) -> None:
    """Every file and every digest that stands in a lock is in what was read, and nothing else."""
    text = (SAMPLES / name).read_text()
    found = lock(text, name)
    lines = (line for line in text.splitlines() if not re.match("content.hash|hashes = |requires-dist", line))
    packages = "\n".join(line for line in lines if "index = " not in line or "packages" in line)
    assert {file.filename for file in found.files} == {unquote(named) for named in FILE.findall(packages)}
    assert {digest.hex for file in found.files for digest in file.digests} == set(DIGEST.findall(packages))
    assert len(set(found.files)) == len(found.files)
    assert all(file.place == f"{name}: {file.project} {file.version}" for file in found.files)


@pytest.mark.parametrize("name", ["pylock-of-uv.toml", "pylock-of-pip.toml"])
def test_the_reference_reads_the_same(name: str) -> None:
    """`packaging.pylock`, where it takes what the tools write."""
    text = (SAMPLES / name).read_text()
    reference = {
        (str(package.name), file.filename, file.hashes["sha256"], file.size, package.index)
        for package in Pylock.from_dict(tomllib.loads(text)).packages
        for file in (*(package.wheels or ()), *((package.sdist,) if package.sdist else ()))
    }
    ours = {(f.project, f.filename, f.digests[0].hex, f.size, f.index_url) for f in lock(text, name).files}
    assert ours == reference


def test_each_package_keeps_its_own_index() -> None:
    """uv: verbatim, per package and fork; poetry too; PDM and pip name none."""
    forks = lock((SAMPLES / "made-by-uv-forks.lock").read_text())
    assert {(file.project, file.version, file.index_url) for file in forks.files} == {
        ("delta", "1.0", "flat"),
        ("eps", "1.0+cu121", None),
        ("gamma", "2.0", "http://127.0.0.1:8951/two/simple/"),
        ("gamma", "9.0", "http://127.0.0.1:8951/one/simple"),
        ("pre", "1.0a2", "http://127.0.0.1:8951/one/simple"),
    }
    assert forks.notes == ("a.lock: mem is a folder of the project itself and comes from no index",)
    poetry = lock((SAMPLES / "made-by-poetry.lock").read_text())
    urls = {str(file.project): file.index_url for file in poetry.files}
    assert (urls["alpha"], urls["beta"]) == ("http://127.0.0.1:8951/one/simple", "http://127.0.0.1:8951/two/simple")
    for name in ("made-by-pdm.lock", "pylock-of-pip.toml", "pylock-of-pdm.toml"):
        assert {file.index_url for file in lock((SAMPLES / name).read_text(), name).files} == {None}


HEAD, *PACKAGES = (SAMPLES / "made-by-uv.lock").read_text().split("[[package]]")


@given(st.permutations(PACKAGES))
def test_the_order_of_packages_does_not_matter(packages: list[str]) -> None:
    """The same entries in any order are the same files."""
    shuffled, written = "[[package]]".join((HEAD, *packages)), "[[package]]".join((HEAD, *PACKAGES))
    assert set(lock(shuffled).files) == set(lock(written).files)


UV = f"""version = 1
[[package]]
name = "acme"
version = "1.0"
source = {{ registry = "https://me:s3cr3t-pass@a.example/simple" }}
wheels = [{{ url = "https://me:s3cr3t-pass@a.example/acme-1.0-py3-none-any.whl", hash = "sha256:{SHA}", size = 3 }}]
"""
PYLOCK = f"""lock-version = "1.0"
created-by = "x"
[[packages]]
name = "acme"
[[packages.wheels]]
path = "w\\\\acme-1.0-py3-none-any.whl"
hashes = {{ sha256 = "{SHA}", weird = "1" }}
"""
POETRY = f"""[metadata]
lock-version = "2.1"
[[package]]
name = "acme"
version = "1.0"
files = [{{ file = "acme-1.0.tar.gz", hash = "sha256:{SHA}" }}]
"""
HUGE = "1" * 5000
PDM = POETRY.replace('lock-version = "2.1"', 'lock_version = "4.5.0"')


def test_passwords_in_urls_are_taken_out_and_never_shown() -> None:
    """Old tools left them there."""
    (file,) = lock(UV).files
    assert file.index_url == "https://a.example/simple"
    assert scrub("s3cr3t-pass") == "***"


def test_older_forms_of_poetry_and_pdm() -> None:
    """Files used to stand below `[metadata.files]`; without a source a package is from PyPI, if that is configured."""
    entry = f'[{{ file = "acme-1.0.tar.gz", hash = "sha256:{SHA}" }}]'
    new = lock(POETRY).files
    assert (new[0].index_url, new[0].assumed) == (PYPI, True)
    package = '[[package]]\nname = "acme"\nversion = "1.0"'
    old = f'{package}\n[metadata]\nlock-version = "1.1"\n[metadata.files]\nacme = {entry}'
    assert lock(old).files == new
    older = old.replace("lock-version", "lock_version").replace("1.1", "4.0").replace("acme = ", '"acme 1.0" = ')
    assert lock(older).files == lock(PDM).files


def test_direct_urls_are_files_of_whichever_index_has_them() -> None:
    """A URL with a digest is as good as a file that an index lists."""
    direct = POETRY + '[package.source]\ntype = "url"\nurl = "https://x.example/acme-1.0.tar.gz"'
    (file,) = lock(direct).files
    assert (file.index_url, file.assumed) == (None, False)
    archive = (
        f'[[packages]]\nname = "a"\narchive = {{ url = "https://x/a-1.zip?x#y", hashes = {{ sha256 = "{SHA}" }} }}'
    )
    assert lock(f'lock-version = "1.0"\n{archive}').files[0].filename == "a-1.zip"


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (UV + '[[package]]\nname = "own"\nsource = { virtual = "." }', None),
        (UV + '[[package]]\nname = "own"\nsource = { directory = "../own" }', "own is a folder"),
        (PYLOCK + '[[packages]]\nname = "own"\ndirectory = { path = "own" }', "own is a folder"),
        (PYLOCK.replace('"1.0"', '"1.9"'), "its format is 1.9, which is newer than 1.0"),
        (POETRY + '[package.source]\ntype = "directory"\nurl = "own"', "acme is a folder"),
        (POETRY.replace("2.1", "2.7"), "its format is 2.7, which is newer than 2.1"),
        (PDM + '[[package]]\nname = "own"\npath = "./own"', "own is a folder"),
        (PDM.replace("4.5.0", "4.6"), "its format is 4.6, which is newer than 4.5"),
    ],
)
def test_what_is_passed_over_is_noted(text: str, note: str | None) -> None:
    """The project itself comes from no index; a newer minor format is read."""
    notes = lock(text).notes
    assert notes == () if note is None else notes[0].startswith(f"a.lock: {note}")


BAD = [
    (b"\xff", "a.lock: is not UTF-8"),
    ("version = ", "a.lock: end of document: is not TOML"),
    ("a = 1\na = 2\n", "a.lock: line 2, column 6: is not TOML"),
    ("a = " + "[" * 100_000, "a.lock: is nested too deeply"),
    (f"version = 1{'0' * 5_000}", "a.lock: is not TOML: it has a number that is too long"),
    (UV.replace("size = 3", f"size = 1{'0' * 30}"), "a.lock: package[1].wheels[1].size: "),
    ("a = 1", "a.lock: is not a lock of a kind that is known"),
    ("metadata = 1", "a.lock: is not a lock of a kind that is known"),
    ("version = 2", "a.lock: version: is a version of uv's format that is not known"),
    ("version = true", "a.lock: version: expected a whole number, got true or false"),
    ("version = 1\npackage = 1", "a.lock: package: expected an array, got a whole number"),
    ("version = 1\npackage = [1]", "a.lock: package[1]: expected a table, got a whole number"),
    (UV.replace('name = "acme"', ""), "a.lock: package[1]: has no name"),
    (UV.replace('"acme"', '"a/b"'), "a.lock: package[1].name: is not the name of a project"),
    (UV.replace('"1.0"', '"one"'), "a.lock: package[1].version: is not a version"),
    *(
        (text.replace('"1.0"', f'"{HUGE}"'), "a.lock: package[1].version: is not a version")
        for text in (UV, POETRY, PDM)
    ),
    (
        PYLOCK.replace('"acme"', f'"acme"\nversion = "{HUGE}"'),
        "a.lock: packages[1].version: is not a version",
    ),
    (UV.replace("wheels", "wheel"), "a.lock: package[1]: acme has no files"),
    (UV.replace("sha256:ab", "sha256:zz"), "a.lock: package[1].wheels[1].hash: is not a digest that can be checked"),
    (UV.replace("size = 3", "size = -3"), "a.lock: package[1].wheels[1].size: expected a whole number >= 0"),
    (UV.replace("url =", "zurl ="), "a.lock: package[1].wheels[1]: names no file"),
    (UV.replace("a.example/acme", "[/acme"), "a.lock: package[1].wheels[1]: names no file"),
    (UV.replace("acme-1", "acme:1"), "a.lock: package[1].wheels[1]: is not a usable file name: the character ':'"),
    (UV.replace("registry", "git"), "a.lock: package[1].source: acme comes from a repository"),
    (UV.replace("registry", "path"), "a.lock: package[1].source: acme comes from a file on somebody's disk"),
    (UV.replace("registry", "else"), "a.lock: package[1].source: acme comes from no index"),
    (UV + "sdist = 1", "a.lock: package[1].sdist: expected a table"),
    (PYLOCK.replace('"1.0"', '"2.0"'), "a.lock: lock-version: is a version of pylock.toml's format that is not known"),
    (PYLOCK.replace('"1.0"', '"x"'), "a.lock: lock-version: is a version of pylock.toml's format that is not known"),
    (PYLOCK.replace('"1.0"', "1.0"), "a.lock: lock-version: expected text, got float"),
    (PYLOCK.replace("sha256", "sha0"), "a.lock: packages[1].wheels[1].hashes: is not a digest that can be checked"),
    (PYLOCK.replace('"acme"', '"-"'), "a.lock: packages[1].name: is not the name of a project"),
    (PYLOCK.replace("hashes", "hash"), "a.lock: packages[1].wheels[1]: has no hashes"),
    (PYLOCK + '[[packages]]\nname = "b"', "a.lock: packages[2]: b has no files"),
    (PYLOCK + "[[packages]]", "a.lock: packages[2]: has no name"),
    (PYLOCK + '[[packages]]\nname = "b"\nvcs = {}', "a.lock: packages[2].vcs: b comes from a repository"),
    (POETRY.replace("2.1", "3.0"), "a.lock: metadata.lock-version: is a version of poetry's format that is not known"),
    (POETRY.replace('"2.1"', "2"), "a.lock: metadata.lock-version: expected text, got a whole number"),
    (POETRY.replace("files = [{", "files = [1, {"), "a.lock: package[1].files[1]: expected a table"),
    (
        POETRY.replace("\nversion", "\nother"),
        "a.lock: package[1]: has no version",
    ),
    (POETRY.replace('"1.0"', '"."'), "a.lock: package[1].version: is not a version"),
    (POETRY.replace("files", "other"), "a.lock: package[1]: acme has no files"),
    (POETRY + '[package.source]\ntype = "git"\nurl = "x"', "a.lock: package[1].source: acme comes from a repository"),
    (PDM.replace("4.5", "3.1"), "a.lock: metadata.lock_version: is a version of PDM's format that is not known"),
    (PDM.replace('"4.5.0"', "4"), "a.lock: metadata.lock_version: expected text, got a whole number"),
    (PDM.replace('"acme"', '""'), "a.lock: package[1].name: is not the name of a project"),
    (PDM.replace('"acme"', "1"), "a.lock: package[1].name: expected text"),
    (PDM.replace("files", "other"), "a.lock: package[1]: acme has no files"),
    (PDM.replace("[{", "[1, {"), "a.lock: package[1].files[1]: expected a table"),
    (PDM + 'git = "x"', "a.lock: package[1]: acme comes from a repository"),
    (PDM + 'path = "x"', "a.lock: package[1]: acme comes from a file on somebody's disk"),
]


@pytest.mark.parametrize(("text", "told"), BAD, ids=range(len(BAD)))
def test_a_bad_lock_is_told_in_one_line_with_its_place(text: str | bytes, told: str) -> None:
    """And without any value of it."""
    (problem,) = wrong(text)
    assert problem.startswith(told)
    assert "s3cr3t" not in problem


def test_all_problems_of_a_lock_are_told() -> None:
    """One wrong package does not hide the next."""
    assert len(wrong(UV + UV.replace("version = 1\n", "").replace("sha256:", "md0:") + "[[package]]")) == 2


def test_a_lock_that_is_not_there() -> None:
    """As everything else that is wrong."""
    for name in ("a.lock", "a.txt"):
        found = read(Path(name), loader({}))
        assert not isinstance(found, Lock)
        assert str(found[0]).startswith(f"{name}: there is no such file; name a file")


def wishes(text: str | bytes, **others: str) -> set[str]:
    """What a requirements file asks for."""
    found = lock(text, "r.txt", **others)
    asked = {f"{one.project}{one.specifier}{';' if one.marker else ''}{one.marker or ''}" for one in found.requirements}
    files = {f"{file.project}-{file.version} {file.filename or ''} {file.digests[0].hex[:2]}" for file in found.files}
    return asked | files


A, B = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("", set()),
        ("# nothing\n\n  # at all", set()),
        ("Acme_X>=1,<2 # why", {"acme-x<2,>=1"}),
        ("acme[x] == 1.0 ; python_version > '3'", {'acme==1.0;python_version > "3"'}),
        (f"acme==1.0 --hash={A} --hash {B}", {"acme-1.0  aa", "acme-1.0  bb"}),
        (f"acme==1.0 \\\n    --hash={A} \\\n\t--hash={B}  # via x\nb", {"acme-1.0  aa", "acme-1.0  bb", "b"}),
        (f"acme===1.0 --hash={A}", {"acme-1.0  aa"}),
        ("acme \\\n# a comment ends it\nb", {"acme", "b"}),
        ("acme==1.0\\", {"acme==1.0"}),
        (f"acme @ https://h/acme-1.0.tar.gz#sha256={'a' * 64} # why", {"acme- acme-1.0.tar.gz aa"}),
        ("acme==1.0\r\nb\r\n", {"acme==1.0", "b"}),
        ("\ufeffacme", {"acme"}),
        ("acme".encode("utf-16"), {"acme"}),
        ("# -*- coding: latin-1 -*-\nacme # caf\xe9".encode("latin-1"), {"acme"}),
        ("-i https://u:p4ssw0rd@h/${TOKEN}\n--extra-index-url=https://h\n--no-index --pre\nacme -C a=b", {"acme"}),
        ("--no-binary :all:\n--only-binary=acme\n-f ./flat\n--require-hashes\n--trusted-host h\nacme", {"acme"}),
        (f"acme @ https://h/acme-1.0.tar.gz#sha256={'a' * 64}", {"acme- acme-1.0.tar.gz aa"}),
        (f"acme @ https://h/acme-1.0.tar.gz#egg=acme&sha256={'a' * 64}", {"acme- acme-1.0.tar.gz aa"}),
        ("acme # coding: klingon", {"acme"}),
        (f"acme @ https://h/acme-1.0.tar.gz --hash={A}", {"acme- acme-1.0.tar.gz aa"}),
    ],
)
def test_requirements_are_read_as_pip_reads_them(text: str | bytes, asked: set[str]) -> None:
    """Lines that go on, comments, encodings, options."""
    assert wishes(text) == asked
    assert scrub("p4ssw0rd") == "***" or "p4ssw0rd" not in str(text)


def test_other_files_are_read_from_beside_the_one_that_names_them() -> None:
    """-r adds, -c narrows; a constraint with a marker narrows nothing, and one of another project asks for nothing."""
    files = {
        "d/more.txt": "-rdeep/last.txt\n--requirement=../other.txt",
        "d/deep/last.txt": "deep\nhashed==1",
        "d/../other.txt": "other",
        "limits.txt": f"acme<2\nb<3; python_version<'3'\nnobody==1\nhashed --hash={A}",
    }
    text = "acme>=1\nb\n-r d/more.txt\n-c limits.txt"
    assert wishes(text, **files) == {"acme<2,>=1", "b", "deep", "other", "hashed-1  aa"}


NO_INDEX = "is a file, a folder or a repository, which no index has"
BAD_LINES = [
    ("x\n-e .", f"r.txt:2: {NO_INDEX}"),
    ("./x.whl", f"r.txt:1: {NO_INDEX}"),
    ("\n\nx-1.0.tar.gz", f"r.txt:3: {NO_INDEX}"),
    ("https://h/x-1.0-py3-none-any.whl", f"r.txt:1: {NO_INDEX}"),
    ("git+https://h/x", f"r.txt:1: {NO_INDEX}"),
    ("x @ git+https://h/x", f"r.txt:1: {NO_INDEX}"),
    ("x @ https://h/x-1.0.tar.gz", f"r.txt:1: {NO_INDEX}"),
    (f"x @ file:///x-1.0.tar.gz#sha256={'a' * 64}", f"r.txt:1: {NO_INDEX}"),
    (f"x @ https://h/#sha256={'a' * 64}", f"r.txt:1: {NO_INDEX}"),
    ("weird>=", "r.txt:1: is not a requirement (PEP 508)"),
    (f"x; {'(' * 100_000}", "r.txt:1: is not a requirement (PEP 508)"),
    ("x#1", "r.txt:1: is not a requirement (PEP 508)"),
    ("x==1;", "r.txt:1: is not a requirement (PEP 508)"),
    ('\nx==1; os_name ~= "posix"', "r.txt:2: is not a requirement (PEP 508)"),
    ('x==1; "x" in extras', "r.txt:1: is not a requirement (PEP 508)"),
    (f'x; python_version >= "{HUGE}"', "r.txt:1: is not a requirement (PEP 508)"),
    (f"x=={HUGE}", "r.txt:1: is not a requirement (PEP 508)"),
    ("${X}==1", "r.txt:1: takes a value from the environment"),
    ("x==1 --hash=sha256:ab", "r.txt:1: has a digest that cannot be checked"),
    (f"x>=1 --hash={A}", "r.txt:1: has a digest, and no == with one version"),
    (f"x==1.* --hash={A}", "r.txt:1: has a digest, and no == with one version"),
    ("x --frobnicate", "r.txt:1: has an option that pip does not have"),
    ("x --hash", "r.txt:1: its options cannot be read"),
    ("-r 'x", "r.txt:1: its options cannot be read"),
    ("x\n-r none.txt", "r.txt:2: there is no such file"),
    ("-r https://h/r.txt", "r.txt:1: names no file on this disk"),
    ("-c ${HOME}/r.txt", "r.txt:1: names no file on this disk"),
    ("-r r.txt", "r.txt:1: the file names itself"),
    (b"\xff", "r.txt: its encoding cannot be read"),
    (b"# coding: idna\n\xff", "r.txt: its encoding cannot be read"),
    ("x @ http://[", f"r.txt:1: {NO_INDEX}"),
    (b"# coding: klingon", "r.txt: its encoding cannot be read"),
]


@pytest.mark.parametrize(("text", "told"), BAD_LINES)
def test_a_bad_line_is_told_with_its_number(text: str | bytes, told: str) -> None:
    """File and line, and nothing of what stands there."""
    (problem,) = wrong(text, "r.txt")
    assert problem.startswith(told)


def test_files_that_name_each_other_for_ever_end() -> None:
    """Also when no name comes twice; and there are bounds on the whole."""
    assert wrong("-r a/r.txt", "r.txt", **{"/".join(["a"] * n) + "/r.txt": "-r a/r.txt" for n in range(1, 30)}) == [
        "/".join(["a"] * 19) + "/r.txt:1: the file names files too deeply, or too many of them"
    ]
    many = wrong("-r x\n" * 1_001, "r.txt", x="")
    assert many == [f"r.txt:{line}: the file names files too deeply, or too many of them" for line in (1_000, 1_001)]
    large = wrong(b"#" * (MAX_LOCK - 3) + b"\n-r x", "r.txt", x="")
    assert large == [f"r.txt: the requirements are larger than {MAX_LOCK} bytes"]


@given(st.lists(st.sampled_from(["a==1", "b>=2", f"c==1 --hash={A}", f"d==1 --hash={B}"]), max_size=6))
def test_lines_add_up_in_any_order(lines: list[str]) -> None:
    """A file is the union of its lines."""
    together = wishes("\n".join(lines))
    assert together == wishes("\n".join(reversed(lines)))
    assert together == set().union(*(wishes(line) for line in lines))


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_input_is_a_surprise(document: bytes) -> None:
    """Whatever the bytes are, there is a lock or a problem."""
    for name in ("a.lock", "r.txt"):
        found = read(Path(name), loader({name: document}))
        assert isinstance(found, Lock) or all(str(problem).startswith(name) for problem in found)


def test_a_lock_is_a_value() -> None:
    """Equal locks are equal, whoever read them."""
    assert lock(UV) == lock(UV)
    assert msgspec.structs.replace(lock(UV), tool="x") != lock(UV)
