"""From an index's values to the rules by which its files are chosen."""

from __future__ import annotations

import msgspec

from mirror.config.environments import Environments
from mirror.config.tables import Values
from mirror.plan.filters import Rules

_SAME = tuple(field.name for field in msgspec.structs.fields(Rules) if field.name != "environments")


def rules(values: Values, known: Environments) -> Rules:
    """The rules that `values` describe; without `environments`, for all that are `known`."""
    names = values.get("environments", known)
    machines = tuple(known[name] for name in names if name in known)
    own = {key: values[key] for key in _SAME if key in values}
    own["exclude_newer"] = own.get("exclude_newer") or None  # `false` stands for no limit
    return Rules(environments=machines, **own)
