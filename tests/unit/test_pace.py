"""How many requests travel at the same time, whose turn is next, and when more is due: decided without a clock."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mirror.errors import Failure, Reason
from mirror.plan.pace import FIRST, PATIENCE, Pace, overloaded
from mirror.plan.rate import BURST, Rate
from mirror.plan.shares import Share, Shares


def _away(failure: Failure) -> Failure:
    failure.away = True
    return failure


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (Failure(Reason.RATE_LIMITED, "429", busy=True), True),
        (Failure(Reason.SERVER_ERROR, "503", busy=True), True),
        (_away(Failure(Reason.SERVER_ERROR, "503 of a file store", busy=True)), True),
        (Failure(Reason.SERVER_ERROR, "500"), False),
        (Failure(Reason.UNREACHABLE, "refused"), True),
        (Failure(Reason.TIMEOUT, "x"), True),
        (Failure(Reason.STALLED, "x"), True),
        (_away(Failure(Reason.UNREACHABLE, "a dead stranger")), False),
        (Failure(Reason.NOT_FOUND, "404"), False),
        (Failure(Reason.DIGEST, "x"), False),
    ],
)
def test_what_fewer_requests_may_help_against(failure: Failure, expected: bool) -> None:
    """Too many, unavailable, and no answer; nothing that is wrong with one object alone."""
    assert overloaded(failure) is expected


@given(st.integers(1, 100))
def test_an_unknown_index_gets_a_few_and_doubles_with_every_window(most: int) -> None:
    """Up to the most that is allowed, without a pause for thought."""
    pace = Pace(most)
    expected = min(FIRST, most)
    while pace.level < most:
        assert pace.level == expected
        for _ in range(pace.level):
            pace.succeeded(pace.epoch, pace.level)
        expected = min(2 * expected, most)
    pace.succeeded(pace.epoch, pace.level)
    assert pace.level == most


def _level_after(pace: Pace, successes: int) -> int:
    for _ in range(successes):
        pace.succeeded(pace.epoch, pace.level)
    return pace.level


def test_trouble_halves_once_for_all_that_were_under_way() -> None:
    """Whoever began before it says nothing new: neither the failures nor the successes."""
    pace = Pace(16)
    assert _level_after(pace, 8) == 16
    before = pace.epoch
    for _ in range(16):
        pace.troubled(before, 16)
        pace.succeeded(before, 16)
    assert pace.level == 8
    pace.troubled(pace.epoch, 8)
    assert pace.level == 4


def test_after_trouble_a_full_window_is_worth_one_more() -> None:
    """And the level at which trouble came is tried again only after many windows; then it counts as any other."""
    pace = Pace(64)
    pace.troubled(pace.epoch, FIRST)
    for level in range(FIRST // 2, FIRST - 1):
        assert _level_after(pace, level - 1) == level
        assert _level_after(pace, 1) == level + 1
    assert _level_after(pace, (FIRST - 1) * PATIENCE - 1) == FIRST - 1
    assert _level_after(pace, 1) == FIRST
    assert _level_after(pace, FIRST) == FIRST + 1


def test_a_level_that_is_not_used_proves_nothing() -> None:
    """It does not grow then; and trouble halves what was really under way."""
    pace = Pace(32)
    for _ in range(100):
        pace.succeeded(pace.epoch, FIRST - 1)
    assert pace.level == FIRST
    pace.troubled(pace.epoch, 4)
    assert pace.level == 2


@given(st.integers(1, 40), st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(1, 40)), max_size=200))
def test_the_level_stays_within_its_bounds(most: int, story: list[tuple[bool, int, int]]) -> None:
    """Whatever comes, old news too: never below one, never above the most, up by one and down by half at most."""
    pace = Pace(most)
    for success, age, number in story:
        before, in_use = pace.level, min(number, most)
        if success:
            pace.succeeded(max(0, pace.epoch - age), in_use)
            assert before <= pace.level <= before + 1
        else:
            pace.troubled(max(0, pace.epoch - age), in_use)
            assert pace.level == before if age and pace.epoch > age else pace.level <= max(1, before)
        assert 1 <= pace.level <= most


@given(st.integers(2, 30))
def test_an_index_that_bears_so_many_is_asked_by_so_many(bears: int) -> None:
    """A server that refuses what is above `bears`: few refusals, and most of the time at least half of that."""
    pace, refused, levels = Pace(32), 0, []
    for _ in range(2000):
        if pace.level > bears:
            refused += 1
            pace.troubled(pace.epoch, pace.level)
        else:
            pace.succeeded(pace.epoch, pace.level)
        levels.append(pace.level)
    settled = levels[1000:]
    assert bears // 2 <= min(settled)
    assert max(settled) <= bears + 1
    assert refused <= 10 + 2000 / (bears * PATIENCE)


@given(
    limit=st.floats(0.01, 1e9),
    arrivals=st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1e6)), min_size=1, max_size=60),
)
def test_a_rate_is_kept_over_every_stretch_of_time(limit: float, arrivals: list[tuple[float, float]]) -> None:
    """From any due time to any later one: no more than the limit, a burst, and the last amount."""
    rate, now = Rate(limit), 1000.0
    due: list[tuple[float, float]] = []
    for pause, amount in arrivals:
        now += pause
        wait = rate.wait(amount, now)
        assert wait >= 0
        due.append((now + wait, amount))
    assert due == sorted(due, key=lambda at: at[0])
    for first in range(len(due)):
        total = 0.0
        for at, amount in due[first:]:
            seconds = at - due[first][0]
            assert total <= limit * (seconds + BURST) * (1 + 1e-6) + 1e-3 * limit
            total += amount


def test_a_rate_that_is_not_reached_costs_no_wait() -> None:
    """And what was not used before is worth a burst, not more."""
    rate = Rate(8)
    assert [rate.wait(1, second) for second in range(100, 110)] == [0.0] * 10
    assert [rate.wait(1, 200.0) for _ in range(5)] == [0.0, 0.0, 0.0, 0.125, 0.25]


def test_a_slow_index_gets_its_share_and_no_more_than_is_left() -> None:
    """Not even while the other does nothing for a moment; and what it had before another came goes to that first."""
    shares: Shares[str] = Shares(8)
    slow = shares.join(8)
    assert [shares.take(slow) for _ in range(7)] == [True] * 7
    idle = shares.join(8)
    assert not shares.take(slow)
    for number in range(3):
        shares.wait(slow, f"slow {number}")
    assert shares.take(idle)
    assert not shares.take(idle)
    for number in range(3):
        shares.wait(idle, f"idle {number}")
    assert shares.granted() == []
    for number in range(3):  # whatever comes free goes to the one that has fewest
        shares.free(slow)
        assert shares.granted() == [f"idle {number}"]
    shares.free(slow)  # both have four now: its own share is its own
    assert shares.granted() == ["slow 0"]


def test_a_share_is_kept_until_its_index_leaves() -> None:
    """Then the others divide it."""
    shares: Shares[str] = Shares(6)
    busy, done = shares.join(6), shares.join(6)
    assert sum(shares.take(busy) for _ in range(6)) == 3
    shares.wait(busy, "a")
    shares.wait(busy, "b")
    assert shares.granted() == []
    shares.leave(done)
    assert shares.granted() == ["a", "b"]


def test_an_index_that_bears_little_leaves_its_share_to_the_others() -> None:
    """What it cannot use is kept from nobody; as soon as it bears more, it is."""
    shares: Shares[str] = Shares(8)
    small, large = shares.join(1), shares.join(8)
    assert shares.take(small)
    assert sum(shares.take(large) for _ in range(8)) == 7
    shares.wait(small, "small")
    shares.free(large)
    assert shares.granted() == []
    shares.resize(small, 2)
    assert shares.granted() == ["small"]


def test_more_indexes_than_slots_come_one_after_the_other() -> None:
    """In the order in which they asked."""
    shares: Shares[int] = Shares(1)
    members = [shares.join(4) for _ in range(5)]
    assert [shares.take(member) for member in members] == [True, False, False, False, False]
    for number in (3, 1, 4, 2):
        shares.wait(members[number], number)
    order, holder = [], members[0]
    while True:
        shares.free(holder)
        if not (granted := shares.granted()):
            break
        order += granted
        holder = members[granted[0]]
    assert order == [3, 1, 4, 2]


def test_a_slot_is_spare_when_nobody_will_miss_it() -> None:
    """A quarter of the level stays free for what may come, and so does what is kept for another index."""
    shares: Shares[str] = Shares(8)
    one = shares.join(8)
    taken = 0
    while shares.spare(one):
        assert shares.take(one)
        taken += 1
    assert taken == 6
    two = shares.join(8)
    for _ in range(3):
        shares.free(one)
    assert shares.spare(one)  # within its own share
    shares.take(one)
    assert not shares.spare(one)  # the other four are the other's
    assert shares.spare(two)


def test_a_slot_is_wanted_by_ones_own_first() -> None:
    """Then by another index, as far as it was borrowed from it."""
    shares: Shares[str] = Shares(2)
    one, two = shares.join(2), shares.join(2)
    assert not shares.wanted(one)
    assert shares.take(one)
    shares.wait(one, "one")
    assert shares.granted() == []
    assert shares.wanted(one)
    assert not shares.spare(one)
    assert shares.give_up(one, "one")
    shares.leave(two)
    assert shares.take(one)
    two = shares.join(2)
    shares.wait(two, "two")
    assert shares.wanted(one)
    shares.free(one)
    assert shares.granted() == ["two"]
    assert not shares.wanted(one)


class SharesMachine(RuleBasedStateMachine):
    """Any story of any indexes."""

    @initialize(cap=st.integers(1, 12))
    def begin(self, cap: int) -> None:
        """An empty road."""
        self.cap, self.ticket = cap, 0
        self.shares: Shares[int] = Shares(cap)
        self.members: list[Share[int]] = []
        self.queues: dict[Share[int], deque[int]] = {}
        self.has: dict[Share[int], int] = {}

    @rule(level=st.integers(1, 10))
    def join(self, level: int) -> None:
        """One more index."""
        share = self.shares.join(level)
        self.members.append(share)
        self.queues[share], self.has[share] = deque(), 0
        self._grant()

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        """A slot at once, or a place in the queue."""
        share = data.draw(st.sampled_from(self.members))
        spare = self.shares.spare(share)
        taken = self.shares.take(share)
        assert taken or not spare
        if taken:
            assert not (spare and self.shares.wanted(share)), "what was spare is not wanted in the same moment"
            assert not self.queues[share]
            self.has[share] += 1
        else:
            self.ticket += 1
            self.shares.wait(share, self.ticket)
            self.queues[share].append(self.ticket)
        assert self.shares.granted() == []

    @precondition(lambda self: any(self.has.values()))
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        """One slot comes back."""
        share = data.draw(st.sampled_from([share for share in self.members if self.has[share]]))
        self.shares.free(share)
        self.has[share] -= 1
        self._grant()

    @precondition(lambda self: any(self.queues.values()))
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        """One in a queue goes away, and cannot do it twice."""
        share = data.draw(st.sampled_from([share for share in self.members if self.queues[share]]))
        who = data.draw(st.sampled_from(list(self.queues[share])))
        assert self.shares.give_up(share, who)
        assert not self.shares.give_up(share, who)
        self.queues[share].remove(who)
        self._grant()

    @precondition(lambda self: self.members)
    @rule(data=st.data(), level=st.integers(1, 10))
    def resize(self, data: st.DataObject, level: int) -> None:
        """An index bears more, or less."""
        self.shares.resize(data.draw(st.sampled_from(self.members)), level)
        self._grant()

    @precondition(lambda self: any(not self.has[share] and not self.queues[share] for share in self.members))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """An index that is done goes."""
        done = [share for share in self.members if not self.has[share] and not self.queues[share]]
        share = data.draw(st.sampled_from(done))
        self.shares.leave(share)
        self.members.remove(share)
        self._grant()

    def _grant(self) -> None:
        for who in self.shares.granted():
            share = next(share for share in self.members if who in self.queues[share])
            assert self.queues[share].popleft() == who, "first come, first served"
            assert self.has[share] < share.level
            self.has[share] += 1

    @invariant()
    def it_adds_up(self) -> None:
        """Nothing is lost, nothing is given twice, and nobody waits for what is due."""
        if not hasattr(self, "members"):
            return
        used = sum(self.has[share] for share in self.members)
        assert used <= self.cap
        for share in self.members:
            assert share.in_use == self.has[share]
            assert list(share.waiting) == list(self.queues[share])
        able = [share for share in self.members if self.queues[share] and self.has[share] < share.level]
        if not able or used == self.cap:
            return
        part = self.cap // len(self.members)
        assert all(self.has[share] >= part for share in able), "a free slot, and one waits for its own share"
        kept = sum(max(0, min(part, share.level) - self.has[share]) for share in self.members)
        assert self.cap - used <= kept, "a free slot that is kept for nobody"

    def teardown(self) -> None:
        """When all give back what they have, everybody who still waits has had a slot."""
        while any(self.has.get(share) for share in getattr(self, "members", [])):
            self.free_one()
        assert all(not self.queues[share] for share in getattr(self, "members", []))

    def free_one(self) -> None:
        """The first that has one gives it back."""
        share = next(share for share in self.members if self.has[share])
        self.shares.free(share)
        self.has[share] -= 1
        self._grant()


TestShares = SharesMachine.TestCase
