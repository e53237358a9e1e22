"""The parts of a file: each byte is asked for once, from the beginning on, whoever comes and goes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mirror.plan.parts import LEAST, Part, Parts

MIB = 1 << 20


def _all(parts: Parts, *, alone: bool = False) -> list[Part]:
    taken = []
    while (part := parts.take(alone=alone)) is not None:
        taken.append(part)
    return taken


@given(start=st.integers(0, 1 << 40), size=st.integers(1, 1 << 36))
def test_the_parts_cover_the_rest_once_and_in_order(start: int, size: int) -> None:
    """Whatever is left of whatever file; none is too small to be worth a request."""
    taken = _all(Parts(start, start + size))
    edges = [start, *(part.end for part in taken)]
    assert [part.at for part in taken] == edges[:-1]
    assert edges[-1] == start + size
    assert all(part.asked == part.end for part in taken)
    assert all(2 * MIB <= part.end - part.at < 96 * MIB for part in taken) or size < 6 * MIB


def test_large_files_have_few_large_parts() -> None:
    """An eighth of what is left, within bounds."""
    sizes = {LEAST: 2, 60 * MIB: 8, 200 * MIB: 8, 5120 * MIB: 80}
    assert {size: len(_all(Parts(0, size))) for size in sizes} == sizes


def test_who_is_alone_goes_on_into_what_nobody_took() -> None:
    """And stops where somebody else began."""
    parts = Parts(0, 16 * MIB)
    leading = parts.take(alone=True)
    assert leading == Part(at=0, end=4 * MIB, asked=16 * MIB)
    assert parts.follow(leading)
    assert leading.end == 8 * MIB
    other = parts.take(alone=False)
    assert other == Part(at=8 * MIB, end=12 * MIB, asked=12 * MIB)
    assert not parts.follow(leading)
    assert not parts.follow(other)
    parts.finish(other)  # nothing of it came
    assert parts.follow(leading)
    assert parts.follow(leading)
    assert not parts.follow(leading)
    assert (leading.end, parts.left, parts.done) == (16 * MIB, False, False)
    leading.at = leading.end
    parts.finish(leading)
    assert parts.done


@given(data=st.data(), size=st.integers(1, 64 * MIB))
def test_every_byte_is_brought_once(data: st.DataObject, size: int) -> None:
    """Any number of readers that bring a little, go on, or leave; then one that brings the rest."""
    parts = Parts(0, size)
    under_way: list[Part] = []
    brought: list[tuple[int, int]] = []

    def bring(part: Part, amount: int) -> None:
        if amount:
            brought.append((part.at, part.at + amount))
            part.at += amount

    for _ in range(data.draw(st.integers(0, 30))):
        step = data.draw(st.sampled_from(["take", "bring", "leave"]))
        if step == "take":
            part = parts.take(alone=data.draw(st.booleans()))
            under_way += [] if part is None else [part]
        elif under_way:
            part = data.draw(st.sampled_from(under_way))
            if step == "bring":
                bring(part, data.draw(st.integers(0, part.end - part.at)))
                if part.at == part.end:
                    parts.follow(part)
            else:
                under_way.remove(part)
                parts.finish(part)
    for part in under_way:
        parts.finish(part)
    while (last := parts.take(alone=True)) is not None:
        bring(last, last.end - last.at)
        while parts.follow(last):
            bring(last, last.end - last.at)
        parts.finish(last)
    assert parts.done
    brought.sort()
    assert [first for first, _ in brought] == [0, *(end for _, end in brought[:-1])]
    assert brought[-1][1] == size
