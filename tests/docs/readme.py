"""The README's commands, tables and examples, as the tests read them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()


def table(heading: str) -> dict[str, dict[str, str]]:
    """The first table below `heading`: by its first cell, each row by column, without emphasis."""
    lines = TEXT.split(f"\n## {heading}\n", 1)[1].splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rows: list[list[str]] = []
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("**", "") for cell in line.strip("|").split("|")])
    columns, _, *body = rows
    return {row[0]: dict(zip(columns[1:], row[1:], strict=True)) for row in body}


def blocks(language: str, text: str = TEXT) -> list[str]:
    """The fenced blocks in `language`, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """The commands of the first two blocks: the demonstration, and the tests."""
    return [block.strip() for block in blocks("sh")[:2]]


def configuration(heading: str) -> str:
    """The whole `mirror.toml` below `heading`, of a third level."""
    return blocks("toml", TEXT.split(f"\n### {heading}\n", 1)[1])[0]
