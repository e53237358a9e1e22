"""What is wrong with a configuration is said completely, with its place and what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.config.load import load
from mirror.errors import ConfigError, InvalidName
from mirror.model.names import IndexName, index_name, variable_part
from mirror.model.secret import scrub
from tests.config.helpers import Problems, Write, one

TWO = """
root = "/r"
[[index]]
name = "{}"
url = "https://a.example.com/"
[[index]]
name = "{}"
url = "https://b.example.com/"
"""


def tree(name: str, indexes: str) -> str:
    return one() + f'[[tree]]\nname = "{name}"\nindexes = {indexes}\n'


FULL = "name = 'prod'\npython = '3.11'\nplatform = 'win32'\n"


def machine(text: str, keys: str = "") -> str:
    return one(keys) + f"[[environment]]\n{text}\n"


CASES = [
    # top level
    ('[[index]]\nname = "a"\nurl = "https://a.example.com"', "", "root, the folder", 'add for example root = "/srv'),
    ('rot = "x"\n' + one(), "", "unknown key 'rot'", "did you mean 'root'?"),
    ("zzz = 1\n" + one(), "", "unknown key 'zzz'", "remove it, or use one of: build-dependencies, concurrency"),
    (one().replace('"mirror"', "5"), "root", "expected text, got a whole number", 'root = "/srv/mirror"'),
    (one().replace('"mirror"', '""'), "root", "expected text of length >= 1", 'root = "/srv/mirror"'),
    (one().replace('"mirror"', '"a\\u0000"'), "root", "is not of the form", 'root = "/srv/mirror"'),
    (one().replace('"mirror"', '"~nobody-has-this-name"'), "root", "home folder", "write the path without ~"),
    ("concurrency = 0\n" + one(), "concurrency", "expected a whole number >= 1", "concurrency = 64 (requests to all"),
    ("max-rate = '0 B/s'\n" + one(), "max-rate", "is not of the form", 'max-rate = "50 MB/s" (bytes a second'),
    (one("max-requests = 20"), "index.first.max-requests", "expected text, got a whole", 'max-requests = "20/s" (req'),
    ('root = "/r"', "index", "no index is configured", "add an [[index]]"),
    ('root = "/r"\nindex = []', "index", "no index is configured", "add an [[index]]"),
    ('root = "/r"\n[index]\nname = "a"', "index", "expected an array of tables, got a table", "write [[index]]"),
    ('root = "/r"\nindex = ["a"]', "index[1]", "expected a table, got text", "write a table"),
    ("defaults = 1979-05-27\n" + one(), "defaults", "expected a table, got a date or time", "write a table"),
    ("tree = true\n" + one(), "tree", "expected an array of tables, got true or false", "write [[tree]]"),
    # defaults
    (one() + "[defaults]\ntrys = 1", "defaults", "unknown key 'trys'", "did you mean 'tries'?"),
    (one() + "[defaults]\npassword = 1", "defaults", "unknown key 'password'", "write it in the [[index]]"),
    (one() + '[defaults]\nprojects = ["a", "!"]', "defaults.projects[2]", "not a valid project", "name, a glob or a"),
    (one() + '[defaults]\nca-file = "~nobody-has-this-name"', "defaults.ca-file", "home folder", "without ~"),
    # names
    (one().replace('name = "first"', ""), "index[1]", "the name is missing", 'name = "firstindex"'),
    (one().replace('"first"', "1"), "index[1].name", "expected text", 'name = "firstindex"'),
    (one().replace('"first"', '"a/b"'), "index[1].name", "is not a usable name", "use 1 to 64 ASCII letters"),
    (one().replace('"first"', '"Manifest.JSONL"'), "index[1].name", "a file beside the trees", "choose another name"),
    (TWO.format("a", "a"), "index.a", "an index of this name is at", "choose another name for one"),
    (TWO.format("a-b", "a_b"), "index.a_b", "MIRROR_INDEX_A_B_... are those of index a-b too", "differ in more than"),
    (TWO.format("a", "A"), "index.A", "MIRROR_INDEX_A_... are those of index a too", "case and punctuation"),
    # URLs
    (one().replace("url =", "# url ="), "index.first", "the url is missing", "add for example url = "),
    (one(url=""), "index.first.url", "expected text of length >= 1", "write for example url = "),
    (
        one(url="ftp://example.com"),
        "index.first.url",
        "the URL does not begin with http or https",
        "example url = ",
    ),
    (one(url="https://exa mple.com"), "index.first.url", "a space or a control character", "write for example url"),
    (one(url="https://[1/"), "index.first.url", "host or port cannot be read", "write for example url"),
    (one(url="https://example.com/s?token=x"), "index.first.url", "no query and no fragment", "by reference"),
    (one(url="https://example.com/s#x"), "index.first.url", "no query and no fragment", "end it with the path"),
    (
        one(url="https://me:geheimnis@example.com/s"),
        "index.first.url",
        "the URL holds a user name or password",
        "set MIRROR_INDEX_FIRST_USERNAME and MIRROR_INDEX_FIRST_PASSWORD, or MIRROR_INDEX_FIRST_TOKEN",
    ),
    # keys of an index
    (one("explicit = true"), "index.first", "unknown key 'explicit'", "it is uv's key"),
    (one("ca_file = 'x'"), "index.first", "unknown key 'ca_file'", "did you mean 'ca-file'?"),
    (one("authenticate = 'sometimes'"), "index.first.authenticate", "none of the possible values", "auto: credentials"),
    (one("credential-scope = 'host'"), "index.first.credential-scope", "none of the possible values", "path: only"),
    (one("projects = 'a'"), "index.first.projects", "expected an array, got text", 'projects = ["secondpackage'),
    (one("projects = []"), "index.first.projects", "expected an array of length >= 1", "all that are listed"),
    (one("projects = [1]"), "index.first.projects", "expected text, got a whole number", 'projects = ["secondpackage'),
    (one("projects = ['a[x]==1']"), "index.first.projects[1]", "extras choose no files", "dependencies = true"),
    (one("exclude = ['a[x]']"), "index.first.exclude[1]", "extras choose no files", "leave them out"),
    ("dependencies = true\n" + one(), "dependencies", "no [[environment]] names one", "add an [[environment]]"),
    ("dependencies = 'all'\n" + one(), "dependencies", "none of the possible values", "superset"),
    (one("projects = ['a; os_name']"), "index.first.projects[1]", "not a valid project", "a glob or a specifier"),
    (one(f"projects = ['a>={'1' * 5000}']"), "index.first.projects[1]", "not a valid project", "a glob or a specifier"),
    (one(f"exclude = ['a=={'1' * 5000}']"), "index.first.exclude[1]", "not a valid project", "a glob or a specifier"),
    (one("projects = ['a>2,<1']"), "index.first.projects[1]", "not a valid project", "no version can satisfy"),
    (one("exclude = ['a', 'b==1,==2']"), "index.first.exclude[2]", "not a valid project", "no version can satisfy"),
    (one("exclude = ['a*>=1']"), "index.first.exclude[1]", "not a valid project glob", "takes no version"),
    (one("wheels = 'fallback'"), "index.first.wheels", "none of the possible values", "whether to mirror wheels"),
    (one("sdists = true"), "index.first.sdists", "expected text, got true or false", "fallback: only where a release"),
    (one("latest = 0"), "index.first.latest", "expected a whole number >= 1", "latest = 3 (how many releases"),
    (one("latest-prereleases = -1"), "index.first.latest-prereleases", "expected a whole number >= 0", "without the"),
    (one("prereleases = 'some'"), "index.first.prereleases", "none of the possible values", "if-necessary: only of"),
    (one("yanked = 'hide'"), "index.first.yanked", "none of the possible values", "keep: yanked files are mirrored"),
    (one("max-size = 'big'"), "index.first.max-size", "is not of the form", 'write for example max-size = "500MiB"'),
    *(
        (
            one(f"exclude-newer = '{text}'"),
            "index.first.exclude-newer",
            "is not of the form",
            'exclude-newer = "7 days"',
        )
        for text in ("", "7", "0 days", "3 months", "1 year", "P7D", "2026-1-1", "2026-01-01T00:00:00", "100000 d")
    ),
    *(
        (one(f"exclude-newer = '{text}'"), "index.first.exclude-newer", "a day that does not exist", '"2026-01-01"')
        for text in ("2026-02-30", "2026-01-01T25:00:00Z", "9999-12-31", "99999 weeks", "0001-01-01T00:00:00+23:00")
    ),
    (one("exclude-newer = true"), "index.first.exclude-newer", "is no limit", 'write for example "7 days"'),
    (one("exclude-newer = 2026-01-01"), "index.first.exclude-newer", "got", 'exclude-newer = "7 days"'),
    (
        one("exclude-newer-package = { a = '2026-02-30', b = false }"),
        "index.first.exclude-newer-package.a",
        "does not exist",
        '"7 days"',
    ),
    (
        one("exclude-newer-package = { 'a/b' = false }"),
        "index.first.exclude-newer-package.a/b",
        "is not a valid project name",
        "PEP 508",
    ),
    # environments
    ("environment = 1\n" + one(), "environment", "expected an array of tables", "write [[environment]]"),
    ("environment = [1]\n" + one(), "environment[1]", "expected a table", "write a table of keys"),
    (machine("name = 'a'\npython = '3.11'"), "environment[1]", "the platform is missing", 'platform = "manylinux_2'),
    (machine("name = 'a'\nplatform = 'win32'"), "environment[1]", "the python is missing", 'python = "3.11"'),
    (machine("python = '3.11'\nplatform = 'win32'"), "environment[1]", "the name is missing", 'name = "prod"'),
    (machine("name = '-'\npython = '3.11'\nplatform = 'win32'"), "environment[1].name", "not of the form", "name = "),
    (machine(FULL + "os = 'x'"), "environment[1]", "unknown key 'os'", "use one of: free-threaded"),
    (machine(FULL.replace("win32", "win64")), "environment[1].platform", "no wheel fits", "manylinux_2_28_x86_64"),
    (machine(FULL.replace("3.11", "2.7")), "environment[1].python", "no wheel fits", "a version of Python 3"),
    (machine(FULL + "free-threaded = true"), "environment[1].free-threaded", "no wheel fits", "from 3.13 on"),
    (machine(FULL + "implementation = 'jy'"), "environment[1].implementation", "none of the possible", "pp: PyPy"),
    (machine(FULL) + "[[environment]]\n" + FULL, "environment[2].name", "another environment has", "another name"),
    (machine(FULL, "environments = ['prob']"), "index.first.environments[1]", "no [[environment]] has", "'prod'?"),
    (machine(FULL, "environments = ['x']"), "index.first.environments[1]", "no [[environment]] has", "one of: prod"),
    (one("environments = ['x']"), "index.first.environments[1]", "no [[environment]] has", "add an [[environment]]"),
    (one() + "[defaults]\nenvironments = ['x']", "defaults.environments[1]", "no [[environment]] has", "add an"),
    (one("netrc = 1"), "index.first.netrc", "expected true or false, got a whole number", "netrc = true"),
    (one("connect-timeout = nan"), "index.first.connect-timeout", "expected a number > 0", "connect-timeout = 20"),
    (one("connect-timeout = inf"), "index.first.connect-timeout", "expected a number <= 86400", "connect-timeout"),
    (one("max-shrink = 50"), "index.first.max-shrink", "expected a number <= 1", "the share of a list"),
    (one("max-file-size = '5 floz'"), "index.first.max-file-size", "is not of the form", 'max-file-size = "16GiB"'),
    (one("max-file-size = true"), "index.first.max-file-size", "a whole number or text, got true", '"16GiB"'),
    # where credentials may go
    (one("credential-origins = ['http://a.b']"), "index.first.credential-origins[1]", "plain http", "write an https"),
    *(
        (
            one(f"credential-origins = ['https://ok', '{bad}']"),
            "index.first.credential-origins[2]",
            "not a bare",
            '"https:',
        )
        for bad in ("https://a.b/c", "https://u@a.b", "https://a.b?x", "https://a.b/#", "a.b", "ftp://a.b")
    ),
    *(
        (
            one(f"credential-scope = 'path'\ncredential-paths = ['/ok', '{bad}']"),
            "index.first.credential-paths[2]",
            "is not an absolute path",
            'write for example "/api',
        )
        for bad in ("a", "https://a.b/", "/a?b", "/a#b", "/a%2fb", "/a b", "/a/../b")
    ),
    (one("credential-paths = ['/a']"), "index.first.credential-paths", "means nothing", 'credential-scope = "path"'),
    (
        one("credential-scope = 'path'", "https://example.com/group%2Fproject/simple"),
        "index.first.url",
        "an encoded dot or slash",
        "write the numeric id",
    ),
    # secrets
    (one("password = 'geheimnis'"), "index.first.password", "never as text", 'write password = { file = "'),
    (one("token = 'geheimnis'"), "index.first.token", "never as text", 'write token = { file = "'),
    (one("token = 5"), "index.first.token", "expected a table, got a number", "write a table"),
    (one("token = {}"), "index.first.token", "needs exactly one of file", '{ env = "…" }'),
    (one("token = { file = 'a', env = 'B' }"), "index.first.token", "needs exactly one of file", '{ env = "…" }'),
    (one("token = { flie = 'a' }"), "index.first.token", "unknown key 'flie'", "did you mean 'file'?"),
    (one("token = { file = 1 }"), "index.first.token.file", "expected text", "file that only its owner can read"),
    (one("token = { file = '~nobody-has-this-name' }"), "index.first.token.file", "home folder", "without ~"),
    (one("token = { systemd = '../x' }"), "index.first.token.systemd", "is not of the form", "LoadCredential="),
    (one("token = { systemd = '..' }"), "index.first.token.systemd", "is not of the form", "LoadCredential="),
    (one("token = { command = 'a b' }"), "index.first.token.command", "expected an array", '["pass", "show"'),
    (one("token = { command = [] }"), "index.first.token.command", "length >= 1", "without a shell"),
    (one("token = { command = ['a'], ttl = 0 }"), "index.first.token.ttl", "> 0", "ttl = 3000"),
    (one("token = { env = 'A B' }"), "index.first.token.env", "is not of the form", 'env = "FIRSTINDEX_TOKEN"'),
    (one("token = { env = 'A', ttl = 5 }"), "index.first.token.ttl", "belongs to a command", "remove it"),
    (one("token = { env = 'A' }\npassword = { env = 'B' }"), "index.first", "both a password and a token", "keep"),
    (one("token = { env = 'A' }\nusername = 'me'"), "index.first.username", "without the user name", "password in"),
    *(
        (one(key, "http://example.com/s"), "index.first.url", "in clear over plain http", "allow-insecure = true")
        for key in (
            "token = { env = 'A' }",
            "username = 'a'",
            "netrc = true",
            "keyring = true",
            "authenticate = 'always'",
        )
    ),
    # bundles
    ("export = 1\n" + one(), "export", "expected a table, got a number", "write a table of keys"),
    ("import = []\n" + one(), "import", "expected a table, got an array", "write a table of keys"),
    ("[import]", "", "root, the folder to mirror into, is missing", "add for example root"),
    ('root = "/r"\n[export]', "index", "no index is configured", "add an [[index]]"),
    (one() + "[export]\nvolumesize = 1", "export", "unknown key 'volumesize'", "did you mean 'volume-size'?"),
    (one() + "[export]\nidentity = 'a b'", "export.identity", "is not of the form", 'identity = "mirror@outside'),
    (one() + '[export]\nidentity = "a\\n"', "export.identity", "is not of the form", 'identity = "mirror@outside'),
    (one() + "[export]\nidentity = '*'", "export.identity", "is not of the form", 'identity = "mirror@outside'),
    (one() + "[export]\nsign = '~nobody-has-this-name/key'", "export.sign", "home folder", "without ~"),
    (one() + "[export]\nexpires = 59", "export.expires", "is not from a minute to a hundred", '"90d"'),
    (one() + "[export]\nexpires = '9999w'", "export.expires", "is not from a minute to a hundred", '"90d"'),
    (one() + "[export]\nexpires = inf", "export.expires", "is not from a minute to a hundred", '"90d"'),
    (one() + "[export]\nexpires = 'soon'", "export.expires", "is not of the form", 'expires = "90d"'),
    (one() + "[export]\nvolume-size = 1048575", "export.volume-size", "is not from 1MiB to 1024TiB", '"4GB"'),
    (one() + "[export]\nvolume-size = '1MB'", "export.volume-size", "is not from 1MiB to 1024TiB", '"4GB"'),
    (one() + "[export]\nvolume-size = '1025TiB'", "export.volume-size", "is not from 1MiB to 1024TiB", '"4GB"'),
    (one() + "[export]\nvolume-size = '4 floppies'", "export.volume-size", "is not of the form", '"4GB"'),
    (one() + "[import]\nurl = 'x'", "import", "unknown key 'url'", "use one of: max-age, scan"),
    (one() + "[import]\ntrust = '~nobody-has-this-name'", "import.trust", "home folder", "without ~"),
    (one() + "[import]\nscan = 'clamdscan -'", "import.scan", "expected an array, got text", "without a shell"),
    (one() + "[import]\nscan = ['scan --key geheimnis']", "import.scan", "no shell divides it", "each word as an item"),
    (
        one() + "[import]\nscan = []",
        "import.scan",
        "expected an array of length >= 1",
        '["clamdscan", "--fdpass", "-"]',
    ),
    (one() + "[import]\nscan = ['']", "import.scan", "expected text of length >= 1", '["clamdscan", "--fdpass", "-"]'),
    (one() + "[import]\nscan-timeout = 0", "import.scan-timeout", "is not from a second to a day", '"10m"'),
    (one() + "[import]\nmax-age = 0", "import.max-age", "is not from a minute to a hundred years", '"7d"'),
    (one() + "[import]\nmax-age = '1 month'", "import.max-age", "is not of the form", 'max-age = "7d"'),
    # trees
    (one() + '[[tree]]\nindexes = ["first"]', "tree[1]", "the name is missing", "add for example name"),
    (one() + '[[tree]]\nname = "all"', "tree.all", "the indexes are missing", 'indexes = ["first"]'),
    (one() + "[[tree]]\nname = 'all'\nindexes = ['first']\nindex = 1", "tree.all", "unknown key 'index'", "'indexes'?"),
    (tree("all", "[]"), "tree.all.indexes", "expected an array of length >= 1", 'indexes = ["firstindex"'),
    (tree("all", "['furst']"), "tree.all.indexes[1]", "there is no index 'furst'", "did you mean 'first'?"),
    (tree("all", "['xyz']"), "tree.all.indexes[1]", "there is no index 'xyz'", "write one of: first"),
    (tree("all", "['first', 'first']"), "tree.all.indexes[2]", "first is in this tree already", "each index once"),
    (tree("first", "['first']"), "tree.first", "the name is taken by index first", "choose another name"),
    (tree("FIRST", "['first']"), "tree.FIRST", "the name is taken by index first", "upper and lower case are one"),
    (
        tree("all", "['first']") + "[[tree]]\nname = 'All'\nindexes = ['first']",
        "tree.All",
        "the name is taken by tree all",
        "choose another name",
    ),
]


@pytest.mark.parametrize(("text", "where", "what", "instead"), CASES)
def test_problem(problems: Problems, text: str, where: str, what: str, instead: str) -> None:
    """Each mistake has one entry that names its place and what to write; no entry repeats a secret."""
    found = problems(text)
    matching = [p for p in found if what in p.what and instead in p.instead]
    assert matching, [str(problem) for problem in found]
    assert (matching[0].where if where else matching[0].where.rpartition("/")[2]) == (where or "mirror.toml")
    assert "geheimnis" not in "".join(str(problem) for problem in found)
    if len(found) > 1:  # only the tables that lack several required keys at once
        assert where == "tree[1]"


def test_all_at_once(problems: Problems) -> None:
    """One mistake hides no other one, whatever table it is in."""
    found = problems("""
        rot = "/r"
        concurrency = "many"
        [defaults]
        tries = 0
        max-page-size = "big"
        [[index]]
        name = "first"
        url = "http://me:geheimnis@example.com/s"
        token = "geheimnis"
        projects = ["a", "!"]
        stall-floor = -1
        [[index]]
        url = "ftp://example.com"
        htp2 = true
        [[index]]
        name = "third"
        url = "http://example.com/s?x"
        keyring = true
        [[tree]]
        name = "first"
        indexes = ["thrid", "first"]
        """)
    assert [problem.where.rpartition("/")[2] for problem in found] == [
        "mirror.toml",
        "concurrency",
        "mirror.toml",
        "defaults.tries",
        "defaults.max-page-size",
        "index.first.stall-floor",
        "index.first.token",
        "index.first.projects[2]",
        "index.first.url",
        "index[2]",
        "index[2]",
        "index[2].url",
        "index.third.url",
        "index.third.url",
        "tree.first.indexes[1]",
        "tree.first",
    ]


def test_secret_in_the_wrong_place_is_scrubbed(problems: Problems) -> None:
    """A secret that somebody wrote into the file is kept out of every later message."""
    problems(one("password = 'in-the-file-1'", "https://somebody:in-the-url%2D2@example.com"))
    problems(one(url="https://in-the-url-3@example.com"))
    assert scrub("in-the-file-1 in-the-url%2D2 in-the-url-2 in-the-url-3") == "*** *** *** ***"
    assert scrub("somebody") == "somebody"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb =\n", r"mirror\.toml: line 2, column 4: is not TOML: Invalid value; correct the syntax"),
        (f"a = 1{'0' * 5000}", r"mirror\.toml: has a number that is too long; write"),
        ("a = " + "[" * 100_000, r"mirror\.toml: is nested too deeply; write"),
        ("a = [1", r"mirror\.toml: end of document: is not TOML: Unclosed array; correct|mirror\.toml: line 1"),
    ],
)
def test_syntax_error(write: Write, text: str, message: str) -> None:
    """A syntax error says its line."""
    with pytest.raises(ConfigError, match=message):
        load(write(text))


def test_not_utf8(tmp_path: Path) -> None:
    """TOML is UTF-8."""
    file = tmp_path / "mirror.toml"
    file.write_bytes(b'root = "\xff"')
    with pytest.raises(ConfigError, match=r"mirror\.toml: is not UTF-8; save it as UTF-8"):
        load(file)


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is a configuration error, too."""
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read: No such file or directory; name a file"):
        load(tmp_path / "none.toml")


@given(a=st.from_regex(r"[A-Za-z0-9._-]{1,8}", fullmatch=True), b=st.from_regex(r"[A-Za-z0-9._-]{1,8}", fullmatch=True))
def test_names_share_a_variable_only_by_case_and_punctuation(a: str, b: str) -> None:
    """Two names get different variables unless they differ in case and punctuation only."""
    try:
        first, second = index_name(a), index_name(b)
    except InvalidName:
        return
    plain = [name.upper().replace("-", "_").replace(".", "_") for name in (first, second)]
    assert (variable_part(first) == variable_part(second)) == (plain[0] == plain[1])
    assert variable_part(first).isidentifier() or first[0].isdigit()


@given(st.lists(st.sampled_from(["a", "A", "a-b", "a.b", "a_b", "A-B", "b", "ab"]), min_size=1, max_size=6))
def test_no_two_indexes_share_a_variable(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    """Whatever the names: either each index has variables of its own, or loading fails."""
    file = tmp_path_factory.mktemp("names") / "mirror.toml"
    tables = "".join(f'[[index]]\nname = "{name}"\nurl = "https://example.com/"\n' for name in names)
    file.write_text(f'root = "/r"\n{tables}')
    variables = {variable_part(IndexName(name)) for name in names}
    if len(variables) == len(names):
        assert [index.name for index in load(file).indexes] == names
    else:
        with pytest.raises(ConfigError):
            load(file)
