"""Whether and how dependencies are followed, and what must be there for that."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from packaging.requirements import Requirement

from mirror.config.environments import Environments
from mirror.config.problems import Place, Report
from mirror.config.tables import Values
from mirror.plan.select import GLOB

How = Literal["superset", "resolved"]


def dependencies(top: Values, machines: Environments, place: Place, report: Report) -> How | None:
    """How dependencies are followed by the keys `top`, if at all; it takes machines to follow them for."""
    value: bool | How = top.get("dependencies", False)
    if value is False:
        return None
    if not machines:
        what = "dependencies depend on machines, and no [[environment]] names one"
        report.add(place.at("dependencies"), what, "add an [[environment]] with a name, a python and a platform")
    return "superset" if value is True else value


def refuse_extras(tables: Iterable[tuple[Place, Values]], keys: Iterable[str], report: Report) -> None:
    """Report the extras below `keys`: they mean something only in `projects`, and where dependencies are followed."""
    for place, values in tables:
        for key in keys:
            for number, text in enumerate(values.get(key) or (), 1):
                if not GLOB.match(text) and Requirement(text).extras:
                    instead = "leave them out" + "; dependencies = true follows them" * (key == "projects")
                    report.add(place.at(key).item(number), "extras choose no files", instead)
