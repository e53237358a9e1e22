"""One index's secret: given out for that index alone, looked up once for all workers, never sent once rejected."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from mirror.errors import Failure, Reason, SecretUnavailable
from mirror.model.index import Authenticate, Index
from mirror.model.names import index_name
from mirror.model.secret import Credential, Reach, Secret
from mirror.model.urls import url
from mirror.net.authenticator import Authenticator
from mirror.net.policy import first_hop

HOME = url("https://a.example/simple/")
REACH = Reach(origin=HOME.origin)
INDEX = Index(name=index_name("a"), url=HOME, reach=REACH)
HOP = first_hop(INDEX, HOME)


def _token(text: str, *, index: str = "a", reach: Reach = REACH, expires: float | None = None) -> Credential:
    secret = Secret(text.encode())
    return Credential(
        index=index_name(index), reach=reach, scheme="bearer", username=b"", secret=secret, expires=expires
    )


class Source:
    """Gives `token-0`, `token-1` and so on; from the second look-up on it waits for `ready`, when there is one."""

    def __init__(self, make: Callable[[int], Credential | None] | None = None, *, slow: bool = False) -> None:
        self.asked = 0
        self.ready = anyio.Event()
        self._slow = slow
        self._make = make or (lambda number: _token(f"token-{number}"))

    async def __call__(self, index: Index) -> Credential | None:
        """Look up."""
        assert index is INDEX
        number, self.asked = self.asked, self.asked + 1
        if number and self._slow:
            await self.ready.wait()
        await checkpoint()
        return self._make(number)


async def _started(source: Callable[[Index], Awaitable[Credential | None]], index: Index = INDEX) -> Authenticator:
    authenticator = Authenticator(index, source)
    await authenticator.start()
    return authenticator


async def test_the_credential_of_another_index_is_refused() -> None:
    """Whatever a source answers, only what was made for this index is taken."""
    with pytest.raises(Failure) as caught:
        await _started(Source(lambda _: _token("token-of-b", index="b")))
    assert caught.value.reason is Reason.NO_CREDENTIALS
    assert caught.value.holds_index


async def test_the_credential_of_another_index_is_refused_by_a_refresh_too() -> None:
    """The second look-up is judged like the first, and nothing is attached afterwards."""
    authenticator = await _started(Source(lambda number: _token("token", index="b" if number else "a")))
    for _ in range(2):
        with pytest.raises(Failure, match="another index"):
            await authenticator.rejected(0)
    with pytest.raises(Failure, match="another index"):
        await authenticator.header(HOP)


@pytest.mark.parametrize(
    "reach",
    [
        Reach(origin=url("https://b.example/").origin),
        Reach(origin=url("https://a.example:8443/").origin),
        Reach(origin=url("http://a.example/").origin),
        Reach(origin=HOME.origin, paths=("/elsewhere",)),
    ],
)
async def test_a_credential_goes_nowhere_that_its_own_reach_does_not_cover(reach: Reach) -> None:
    """The index may reach further than the credential does: the credential decides."""
    authenticator = await _started(Source(lambda _: _token("token", reach=reach)))
    assert await authenticator.header(HOP) == (0, None)
    assert (await (await _started(Source())).header(HOP))[1] == b"Bearer token-0"


async def test_nothing_is_attached_off_the_index_or_where_never_is_configured() -> None:
    """A foreign hop and `authenticate = "never"` get no header, whatever the credential covers."""
    wide = Reach(origin=HOME.origin, others=frozenset({url("https://b.example/").origin}))
    away = first_hop(INDEX, url("https://b.example/x.whl"))
    assert (await (await _started(Source(lambda _: _token("token", reach=wide)))).header(away))[1] is None
    never = Index(name=INDEX.name, url=HOME, reach=REACH, authenticate=Authenticate.NEVER)

    async def source(_index: Index) -> Credential:
        return _token("token")

    assert (await (await _started(source, never)).header(HOP))[1] is None


async def test_a_rejected_secret_is_not_sent_while_it_is_looked_up_again() -> None:
    """A worker that begins during the refresh waits for it, and goes on with the new secret."""
    source = Source(slow=True)
    authenticator = await _started(source)
    sent: list[bytes | None] = []

    async def second() -> None:
        sent.append((await authenticator.header(HOP))[1])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(authenticator.rejected, 0)
        await wait_all_tasks_blocked()
        tasks.start_soon(second)
        await wait_all_tasks_blocked()
        assert (sent, source.asked) == ([], 2)
        source.ready.set()
    assert (sent, source.asked) == ([b"Bearer token-1"], 2)


async def test_one_look_up_serves_every_worker_that_was_rejected() -> None:
    """Ten workers whose requests carried the old secret cost one refresh."""
    source = Source(slow=True)
    authenticator = await _started(source)
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(authenticator.rejected, 0)
        await wait_all_tasks_blocked()
        source.ready.set()
    assert source.asked == 2
    assert await authenticator.header(HOP) == (1, b"Bearer token-1")


@pytest.mark.parametrize("kind", ["fails", "nothing", "same"])
async def test_a_failed_refresh_is_tried_once_for_all_who_wait(kind: str) -> None:
    """When the source fails, has nothing or repeats itself, everybody gets that failure and nobody asks again."""

    def make(number: int) -> Credential | None:
        if number and kind == "fails":
            raise SecretUnavailable("index a: the vault is sealed")
        return None if number and kind == "nothing" else _token("token")

    source = Source(make, slow=True)
    authenticator = await _started(source)
    outcomes: list[tuple[Reason, bool]] = []

    async def worker(*, new: bool) -> None:
        try:
            await (authenticator.header(HOP) if new else authenticator.rejected(0))
        except Failure as failure:
            outcomes.append((failure.reason, failure.holds_index))

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(lambda new: worker(new=new), number % 3 == 2)
        await wait_all_tasks_blocked()
        source.ready.set()
    await worker(new=True)
    expected = Reason.NO_CREDENTIALS if kind == "fails" else Reason.REJECTED
    assert (outcomes, source.asked) == ([(expected, True)] * 11, 2)


async def test_a_late_answer_to_an_old_secret_changes_nothing() -> None:
    """A slow 200 to the first secret does not make the second, which was accepted, look rejected."""
    source = Source()
    authenticator = await _started(source)
    await authenticator.rejected(0)
    authenticator.accepted(1)
    authenticator.accepted(0)
    await authenticator.rejected(0)
    assert source.asked == 2
    await authenticator.rejected(1)
    assert await authenticator.header(HOP) == (2, b"Bearer token-2")


async def test_a_refreshed_secret_that_is_rejected_at_once_ends_the_index() -> None:
    """Only what was accepted before is worth another look-up."""
    source = Source()
    authenticator = await _started(source)
    await authenticator.rejected(0)
    with pytest.raises(Failure, match="refreshed"):
        await authenticator.rejected(1)
    assert source.asked == 2


@pytest.mark.parametrize("lifetime", [20.0, 60.0, 299.0, 3600.0])
async def test_a_short_life_costs_no_look_up_for_every_request(lifetime: float) -> None:
    """However short the life, the secret is used while it lasts."""
    source = Source(lambda _: _token("token", expires=anyio.current_time() + lifetime))
    authenticator = await _started(source)
    for _ in range(50):
        assert (await authenticator.header(HOP))[1] == b"Bearer token"
    assert source.asked == 1


async def test_a_secret_at_its_end_is_replaced_before_it_is_sent() -> None:
    """The first request after the known expiry carries the new secret; ten at once cost one look-up."""
    source = Source(lambda number: _token(f"token-{number}", expires=anyio.current_time() + (3600 if number else -1)))
    authenticator = await _started(source)
    sent: list[bytes | None] = []

    async def worker() -> None:
        sent.append((await authenticator.header(HOP))[1])

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(worker)
    assert (sent, source.asked) == ([b"Bearer token-1"] * 10, 2)


async def test_a_value_that_was_rejected_is_not_sent_again_because_it_was_renewed_meanwhile() -> None:
    """A renewal that gives the same value makes it no better: a 401 to it, by whichever request, ends its use."""
    began = anyio.current_time()
    source = Source(lambda number: _token("same", expires=began + (3600 if number else 0.1)))
    authenticator = await _started(source)
    epoch, sent = await authenticator.header(HOP)
    assert sent == b"Bearer same"
    await anyio.sleep_until(began + 0.1)
    renewed, _ = await authenticator.header(HOP)
    assert renewed > epoch
    outcomes: list[bytes | None] = []
    with suppress(Failure):
        await authenticator.rejected(epoch)
        outcomes.append((await authenticator.header(HOP))[1])
    assert outcomes == []
