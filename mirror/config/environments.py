"""The machines of `[[environment]]`, by name, and the names that indexes ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mirror.config import decode
from mirror.config.problems import Place, Report
from mirror.config.schema import EnvironmentTable
from mirror.config.tables import Values
from mirror.errors import InvalidName
from mirror.model.environment import Environment
from mirror.plan.environments import environment

Environments = Mapping[str, Environment]
_NEEDED = {"name": "prod", "python": "3.11", "platform": "manylinux_2_28_x86_64"}


def environments(raw: object, place: Place, report: Report) -> tuple[Environments, tuple[str, ...]]:
    """The machines of the array `raw` at `place`, and all names there, with those that cannot be such a machine."""
    named: list[str] = []
    found: dict[str, Environment] = {}
    for number, item in enumerate(decode.array(raw, place, report), 1):
        here = place.item(number)
        values = decode.table(item, EnvironmentTable, here, report)
        missing = [key for key in _NEEDED if isinstance(item, dict) and key not in item]
        for key in missing:
            report.add(here, f"the {key} is missing", f"add for example {key} = {decode.toml(_NEEDED[key])}")
        if values.get("name") in named:
            report.add(here.at("name"), "another environment has this name", "choose another name for one of them")
        elif "name" in values:
            named.append(values["name"])
        if not _NEEDED.keys() <= values.keys():
            continue
        try:
            found[values["name"]] = environment(**values)
        except InvalidName as error:
            report.add(here.at(error.kind), "no wheel fits such an environment", error.why)
    return found, tuple(named)


def check_names(values: Values, known: Sequence[str], place: Place, report: Report) -> None:
    """Report the names below `environments` of a table at `place` that no environment has."""
    for number, name in enumerate(values.get("environments", ()), 1):
        if name not in known:
            meant = decode.closest(name, known)
            instead = f"write one of: {', '.join(known)}" if known else "add an [[environment]] of this name"
            what = "no [[environment]] has this name"
            report.add(place.at("environments").item(number), what, f"did you mean {meant!r}?" if meant else instead)
