"""From TOML to checked values, key by key, so that one mistake does not hide the next.

A key that is unknown, or whose value is of the wrong type, is reported with what to write instead and
left out; everything else is decoded. No message repeats a value of the file, because any of them may be
a secret in the wrong place.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from mirror.config.problems import Place, Report

_AT_LINE = re.compile(r" \(at (line \d+, column \d+|end of document)\)$")
_PATH = re.compile(r" - at `.*`$")
_WORDS = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}
_WORDS |= {"array": "an array", "object": "a table", "datetime": "a date", "date": "a date", "time": "a time"}


def read_toml(file: Path, report: Report) -> dict[str, Any] | None:
    """The tables of `file`, or None when it cannot be read or is not TOML, which `report` then says."""
    place = Place(file)
    try:
        return tomllib.loads(file.read_bytes().decode())
    except OSError as error:
        report.add(place, f"cannot be read: {error.strerror}", "name a file that exists and that this user can read")
    except UnicodeDecodeError:
        report.add(place, "is not UTF-8", "save it as UTF-8, which TOML prescribes")
    except tomllib.TOMLDecodeError as error:
        where = _AT_LINE.search(str(error))
        line = place.at(where[1]) if where else place
        report.add(line, f"is not TOML: {_AT_LINE.sub('', str(error))}", "correct the syntax, see https://toml.io")
    except ValueError:
        report.add(place, "has a number that is too long", "write what the key is meant to be")
    except RecursionError:
        report.add(place, "is nested too deeply", "write the tables that the documentation shows")
    return None


def table(
    raw: object,
    kind: type[msgspec.Struct],
    place: Place,
    report: Report,
    *,
    by_hand: Collection[str] = (),
    remedies: Mapping[str, str] | None = None,
    foreign: bool = False,
) -> dict[str, Any]:
    """The values of the table `raw`, by the attribute names of `kind`; only those that are present and right.

    Keys in `by_hand` are passed through as they are. `remedies` says what to do about keys that `kind`
    does not have but that people are known to write. In a `foreign` table unknown keys are none of our
    business.
    """
    if not isinstance(raw, dict):
        report.add(place, f"expected a table, got {_kind(raw)}", "write a table of keys")
        return {}
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in raw.items():
        field = fields.get(key)
        if field is None:
            if not foreign:
                report.add(place, f"unknown key {key!a}", (remedies or {}).get(key) or _suggest(key, fields))
        elif key in by_hand:
            values[field.name] = value
        else:
            try:
                values[field.name] = msgspec.convert(value, field.type)
            except msgspec.ValidationError as error:
                report.add(place.at(key), _plain(str(error)), instead(field))
    return values


def array(raw: object, place: Place, report: Report) -> list[Any]:
    """`raw` as an array of tables, empty when it is none."""
    if isinstance(raw, list):
        return raw
    report.add(place, f"expected an array of tables, got {_kind(raw)}", f"write [[{place.keys}]], in double brackets")
    return []


def instead(field: msgspec.structs.FieldInfo) -> str:
    """What to write for `field`: an example, and what the key means."""
    for meta in field.type.__metadata__:
        if meta.description:
            return f"write for example {field.encode_name} = {toml(meta.examples[0])} ({meta.description})"
    raise AssertionError(f"{field.name} is not described")  # pragma: no cover - a test reads every description


def closest(text: str, known: Collection[str]) -> str | None:
    """The one of `known` that `text` was probably meant to be."""
    return next(iter(difflib.get_close_matches(text.lower().replace("_", "-"), known, 1)), None)


def _suggest(key: str, known: Collection[str]) -> str:
    meant = closest(key, known)
    return f"did you mean {meant!r}?" if meant else f"remove it, or use one of: {', '.join(sorted(known))}"


def _plain(message: str) -> str:
    """msgspec's sentence in a reader's words, without the values that it may quote."""
    message = _PATH.sub("", message)
    if message.startswith("Invalid enum value"):
        return "is none of the possible values"
    if "matching regex" in message:
        return "is not of the form that it must have"
    names = re.sub(r"`([^`]+)`", lambda found: " or ".join(_WORDS.get(w, w) for w in found[1].split(" | ")), message)
    return names[0].lower() + names[1:]


def _kind(value: object) -> str:
    names = {dict: "a table", list: "an array", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "a date or time")


def toml(value: object) -> str:
    """`value` as it is written in TOML, on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)
