"""Scripted misbehaviour: which requests are answered otherwise, how, and how often.

Rules are tried in the order in which they were added; a rule that has run out is skipped. Only
the server's thread consumes answers, so each is given exactly once.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tests.world.messages import Answer, Fault, Raw, Reply, Request


@dataclass(frozen=True, slots=True)
class _Rule:
    matches: Callable[[Request], bool]
    answers: Iterator[Reply | Raw | Fault]
    authorised: bool


class Script:
    """The rules of one index."""

    def __init__(self) -> None:
        self._rules: tuple[_Rule, ...] = ()

    def add(
        self,
        predicate: str | Callable[[Request], bool],
        answers: Iterable[Reply | Raw | Fault],
        *,
        forever: bool,
        authorised: bool,
    ) -> None:
        """Add a rule. See `Index.intercept`."""
        matches = _contains(predicate) if isinstance(predicate, str) else predicate
        queue = itertools.cycle(answers) if forever else iter(list(answers))
        self._rules = (*self._rules, _Rule(matches, queue, authorised))

    def apply(self, request: Request, reply: Reply, *, permitted: bool) -> Answer:
        """Return what the first matching rule makes of the reply, or the reply itself."""
        for rule in self._rules:
            if (rule.authorised and not permitted) or not rule.matches(request):
                continue
            answer = next(rule.answers, None)
            if answer is None:
                continue
            if isinstance(answer, Reply | Raw):
                return answer
            return answer(request, reply)
        return reply


def _contains(part: str) -> Callable[[Request], bool]:
    return lambda request: part in request.path
