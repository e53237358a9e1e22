"""The editor's schema and the example configurations are those of this version."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest

from mirror.config.decode import instead
from mirror.config.load import load
from mirror.config.schema import (
    Configuration,
    EnvironmentTable,
    ExportTable,
    ImportTable,
    IndexTable,
    LockTable,
    RetentionTable,
    SecretTable,
    Shared,
    TreeTable,
    json_schema,
)
from mirror.model.index import Limits
from tests.config.helpers import Write, one

CONFIGS = Path(__file__).parents[2] / "configs"
EXAMPLES = sorted(CONFIGS.glob("*.toml"))
STRUCTS: list[type[msgspec.Struct]] = [
    *(Configuration, EnvironmentTable, IndexTable, RetentionTable),
    *(SecretTable, Shared, TreeTable, LockTable, ExportTable, ImportTable),
]


def test_committed_schema_is_current() -> None:
    """configs/mirror.schema.json is what json_schema() returns; write it anew after a change of schema.py."""
    assert (CONFIGS / "mirror.schema.json").read_bytes() == json_schema()


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_example_is_right(file: Path) -> None:
    """Every example loads, and an editor that uses the schema agrees."""
    assert bool(load(file).indexes) == (file.name != "inside.toml"), "that one is filled by imports"
    jsonschema.validate(tomllib.loads(file.read_text()), json.loads(json_schema()))
    assert file.read_text().startswith("#:schema ./mirror.schema.json\n")


@pytest.mark.parametrize(
    "text",
    [
        *("token = 'x'", "token = {}", "token = { env = 'A', file = 'b' }", "tries = 0", "x = 1"),
        *("exclude-newer = true", "exclude-newer = '3 months'", "exclude-newer-package = { a = 'x' }", "latest = 0"),
    ],
)
def test_editor_sees_mistakes(text: str) -> None:
    """The schema refuses what the loader refuses."""
    schema = json.loads(json_schema())
    jsonschema.validate(tomllib.loads(one("exclude-newer = false\nexclude-newer-package = { a = '7 days' }")), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(one(text)), schema)


@pytest.mark.parametrize("struct", STRUCTS)
def test_every_key_is_described(struct: type[msgspec.Struct]) -> None:
    """Every key says what it means, and every key with a value of its own shows one."""
    for field in msgspec.structs.fields(struct):
        if field.name not in ("defaults", "index", "tree", "retention", "environment", "export", "intake"):
            assert instead(field).startswith(f"write for example {field.encode_name} = ")


def test_every_key_is_in_the_full_example() -> None:
    """mirror.toml shows every key there is."""
    text = (CONFIGS / "mirror.toml").read_text()
    for struct in STRUCTS:
        for field in msgspec.structs.fields(struct):
            assert re.search(rf"(?m)\b{field.encode_name} = |\[+{field.encode_name}\]", text), field.encode_name


def test_commented_defaults_are_the_defaults(write: Write) -> None:
    """Uncommenting every default of mirror.toml changes nothing."""
    text = (CONFIGS / "mirror.toml").read_text()
    full = re.sub(r"(?m)^# ([a-z0-9-]+ = )", r"\1", text)
    assert full.count("\n# ") < text.count("\n# ") - 15
    plain, spelled = load(write(text)), load(write(full))
    assert (plain.indexes, plain.trees, plain.concurrency) == (spelled.indexes, spelled.trees, spelled.concurrency)
    assert spelled.indexes[0].limits == Limits()


def test_shown_examples_of_keys_are_right(write: Write, tmp_path: Path) -> None:
    """Every "e.g." of mirror.toml would be accepted where it stands, one at a time."""
    text = (CONFIGS / "mirror.toml").read_text()
    write('[[tool.uv.index]]\nname = "x"\nurl = "https://example.com"', "pyproject.toml")
    write("acme==1.0", "requirements.txt")
    (tmp_path / "app").mkdir()
    write("version = 1", "app/uv.lock")
    examples = re.findall(r"(?m)^# e\.g\. .*$", text)
    assert len(examples) > 8
    for example in examples:
        load(write(text.replace(example, example.removeprefix("# e.g. "))))
