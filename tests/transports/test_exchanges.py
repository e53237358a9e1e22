"""Every answer of `cases`, over every transport: the right outcome, and never a later request's trouble."""

from __future__ import annotations

import pytest
from _pytest.mark import ParameterSet

from tests.transports.cases import CASES, Case
from tests.transports.hostile import once, serving
from tests.transports.known import KNOWN
from tests.transports.ways import WAYS, Papers, Way, client_of


def _pairs() -> list[ParameterSet]:
    pairs = []
    for way in WAYS:
        for case in (case for case in CASES if way.tls or not case.tls):
            why = KNOWN.get((way.engine, case.name))
            marks = [] if why is None else [pytest.mark.xfail(reason=why, strict=True)]
            pairs.append(pytest.param(way, case, marks=marks, id=f"{way}-{case}"))
    return pairs


@pytest.mark.parametrize(("way", "case"), _pairs())
async def test_an_answer(way: Way, case: Case, papers: Papers) -> None:
    """Its outcome is a right one, and the next two requests get their own answers."""
    context = papers.server() if way.tls else None
    async with (
        serving(once(*case.steps), context) as server,
        client_of(way, server.port, papers, stall=case.stall, connect=case.stall * 4) as client,
    ):
        outcome = await client.ask("/first")
        assert outcome in case.right, client.seen
        if case.bound is not None:
            assert server.sent < case.bound
        for _ in range(2):
            second = await client.ask("/second")
            assert isinstance(second, tuple), client.seen
            assert second[1].startswith(b"honest on ")
        assert [path for _, path in server.requests] == ["/first", "/second", "/second"]
        if case.reuse is not None:
            assert (server.requests[0][0] == server.requests[1][0]) is case.reuse
