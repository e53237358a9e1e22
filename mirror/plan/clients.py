"""The settings that pip, uv, poetry and PDM need for the published trees, as text for their own files.

No text lets an installer choose between indexes by version, which is dependency confusion: whatever no index is named
for comes from one tree, a merged one if there is any, and a public index is never asked. Where only one of several
indexes can be that tree, the text says so.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from mirror.errors import InvalidUrl
from mirror.model.index import Tree
from mirror.model.urls import has_userinfo, url

_MERGE = "a [[tree]] at the mirror makes one of all"


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """Where a web server shows `public/current`: the trees lie below it."""

    text: str
    """The URL, without a slash at its end."""
    trusted: str | None = None
    """Host and port of plain http to another machine, which pip and PDM have to be told to trust."""

    def tree(self, name: str) -> str:
        """The URL of the project list of a tree."""
        return f"{self.text}/{name}/simple/"


def base_url(text: str) -> Base:
    """`text` as an http, https or file URL that trees can lie below. Raises `InvalidUrl`, without the text."""
    if has_userinfo(text):
        raise InvalidUrl("the URL carries a user name or a password")
    if "?" in text or "#" in text:
        raise InvalidUrl("the URL has a query or a fragment")
    scheme, _, rest = text.strip().partition("://")
    if scheme.lower() == "file":
        if not rest.startswith("/"):
            raise InvalidUrl("a file URL has three slashes and an absolute path")
        return Base(text=f"file://{url(f'http://localhost{rest}').path}".rstrip("/"))
    found = url(text)
    trusted = None if found.origin.secure else str(found.origin).removeprefix("http://")
    return Base(text=found.text.rstrip("/"), trusted=trusted)


class _Trees(msgspec.Struct, frozen=True):
    """Published trees: the one that everything comes from, and the others."""

    default: Tree
    others: tuple[Tree, ...]
    merged: bool
    """Whether `default` is all that clients need."""


def settings(trees: Sequence[Tree], base: Base) -> dict[str, str]:
    """The text for each tool, from `trees` (at least one) in their order."""
    return {tool: text(_arranged(trees), base) for tool, text in _TEXTS.items()}


def _arranged(trees: Sequence[Tree]) -> _Trees:
    """The first merged tree goes before the others, and its indexes go before other indexes, in its order."""
    merged = [tree for tree in trees if not tree.own]
    default = merged[0] if merged else trees[0]
    rank = {str(name): number for number, name in enumerate(default.indexes)}
    others = sorted((tree for tree in trees if tree != default), key=lambda tree: rank.get(tree.name, len(rank)))
    return _Trees(default, tuple(others), bool(merged) or not others)


def _pip(trees: _Trees, base: Base) -> str:
    lines = ["# pip.conf: /etc/pip.conf, ~/.config/pip/pip.conf, or a file that PIP_CONFIG_FILE names"]
    lines += _alone("pip takes the highest version of all its indexes, so it gets one", trees, base)
    lines += ["[global]", f"index-url = {base.tree(trees.default.name)}"]
    lines += ["extra-index-url =", "find-links ="]  # nothing of a file that counts less than this one
    return _text([*lines, f"trusted-host = {base.trusted}"] if base.trusted else lines)


def _uv(trees: _Trees, base: Base) -> str:
    lines = ["# uv.toml: /etc/uv/uv.toml, ~/.config/uv/uv.toml, or a file that UV_CONFIG_FILE names"]
    named = {tree.name: f"{tree.name}={base.tree(tree.name)}" for tree in (trees.default, *trees.others)}
    if trees.merged:
        explicit, last = trees.others, trees.default
    else:
        lines.append(f"# The first index that has a project owns it, as in a merged tree; {_MERGE}.")
        explicit, last = (), trees.others[-1]
    first = [tree for tree in (trees.default, *trees.others) if tree not in (*explicit, last)]
    lines += [
        "# [tool.uv.sources] finds its indexes in the project's pyproject.toml and in the environment, in no uv.toml.",
        "# For such a project, all of them and in this order: each goes before those behind it, and before the default",
        f"#   export UV_DEFAULT_INDEX={shlex.quote(named.pop(last.name))}",
    ]
    lines += [f"#   export UV_INDEX={shlex.quote(' '.join(named.values()))}"] if named else []
    for group, key in ((explicit, "explicit"), (first, None), ((last,), "default")):
        for tree in group:
            lines += _table("index", name=tree.name, url=base.tree(tree.name))
            lines += [f"{key} = true"] if key else []
    return _text(lines)


def _poetry(trees: _Trees, base: Base) -> str:
    lines = ["# poetry: tables for the project's pyproject.toml, instead of its sources; poetry reads no other file"]
    if base.text.startswith("file:"):
        return _text([*lines, "# poetry cannot install from file:// URLs: serve the trees over http"])
    if not trees.merged:
        lines.append(f"# Everything is from {trees.default.name} but for dependencies with a source; {_MERGE}.")
    lines.append("# For a lock made elsewhere: change only the URLs of the project's own tables, then run poetry lock")
    for tree in (trees.default, *trees.others):
        name = f"{tree.name}-mirror" if tree.name.lower() == "pypi" else tree.name  # poetry's own, without a URL
        lines += _table("tool.poetry.source", name=name, url=base.tree(tree.name))
        lines.append(f'priority = "{"primary" if tree is trees.default else "explicit"}"')
    return _text(lines)


def _pdm(trees: _Trees, base: Base) -> str:
    default = base.tree(trees.default.name)
    lines = ["# PDM: a table for the project's pyproject.toml, instead of its sources"]
    lines.append(f"# A project without sources needs only: pdm config pypi.url {shlex.quote(default)}")
    lines += _alone("PDM takes the highest version of all its sources, so it gets one", trees, base)
    lines += _table("tool.pdm.source", name="pypi", url=default)  # by another name, the public index would stay
    return _text([*lines, f"verify_ssl = {'false' if base.trusted else 'true'}"])


def _alone(why: str, trees: _Trees, base: Base) -> Iterator[str]:
    """What to say where a tool gets one tree of several that are not merged."""
    if not trees.merged:
        yield f"# {why}; {_MERGE}. The others:"
        yield from (f"#   {base.tree(tree.name)}" for tree in trees.others)


def _table(table: str, /, **values: str) -> Iterator[str]:
    yield from ("", f"[[{table}]]", *(f'{key} = "{value}"' for key, value in values.items()))


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


_TEXTS: Mapping[str, Callable[[_Trees, Base], str]] = {"pip": _pip, "uv": _uv, "poetry": _poetry, "pdm": _pdm}
