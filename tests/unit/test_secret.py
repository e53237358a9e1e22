"""Secrets cannot be seen, and credentials answer for every URL."""

from __future__ import annotations

import copy
import json
import pickle

import msgspec
import pytest

from mirror.model.secret import Credential, Reach, Secret, remember, scrub
from mirror.model.urls import url
from mirror.run.report import scrubbed
from tests.unit.facts import INDEX

SECRET = Secret(b"correct-horse:/@%")


def test_a_secret_has_no_readable_form() -> None:
    """Not as text, not copied, pickled or encoded, not in the struct around it."""
    reach = Reach(origin=url("https://host/").origin)
    credential = Credential(index=INDEX, reach=reach, scheme="basic", username=b"u", secret=SECRET)
    for text in (str(SECRET), repr(SECRET), f"{SECRET}", repr(credential)):
        assert "horse" not in text
    for encode in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps, msgspec.json.encode, msgspec.msgpack.encode):
        with pytest.raises(TypeError):
            encode(SECRET)
    assert credential.kind == "basic"


def test_secrets_can_be_compared_and_nothing_else() -> None:
    """A refreshed secret that is the same as the rejected one is noticed."""
    assert Secret(b"same-value") == Secret(b"same-value")
    assert hash(Secret(b"same-value")) == hash(Secret(b"same-value"))
    assert Secret(b"same-value") != Secret(b"other-value")
    assert Secret(b"same-value") != b"same-value"
    assert not Secret(b"")
    assert SECRET.reveal() == b"correct-horse:/@%"


def test_every_form_of_a_secret_is_scrubbed() -> None:
    """As it is, percent-encoded, in base64; short values are left, they would cut words."""
    remember(SECRET.reveal())
    Secret(b"ab")
    text = "correct-horse:/@% correct-horse%3A%2F%40%25 Y29ycmVjdC1ob3JzZTovQCU= cab"
    assert scrub(text) == "*** *** *** cab"
    assert scrub("once more: correct-horse:/@%") == "once more: ***"
    remember(b"learnt later")
    assert scrub("what is learnt later, and correct-horse:/@%") == "what is ***, and ***"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("https://host/anything", True),
        ("https://host:443/anything", True),
        ("http://host/anything", False),
        ("https://host:8443/", False),
        ("https://files/x", True),
        ("http://127.0.0.1/x", True),
        ("http://clear/x", False),
        ("https://evil/x", False),
    ],
)
def test_a_credential_goes_to_its_origins_only(target: str, expected: bool) -> None:
    """Its own, and the listed ones if they are https or loopback (C1, C4)."""
    others = frozenset(url(text).origin for text in ("https://files/", "http://127.0.0.1/", "http://clear/"))
    assert Reach(origin=url("https://host/").origin, others=others).covers(url(target)) is expected


def test_a_path_scope_narrows_every_origin() -> None:
    """With scope `path`, the listed paths and no sibling."""
    reach = Reach(origin=url("https://host/").origin, paths=("/simple", "/files"))
    assert reach.covers(url("https://host/files/x"))
    assert not reach.covers(url("https://host/simpleevil"))
    assert reach.home(url("https://host/simpleevil"))


def test_plain_data_is_scrubbed_at_every_depth() -> None:
    """Lists, tuples (which msgspec leaves as they are) and tables, before they become JSON."""
    remember(b"correct-horse-battery")
    text = "it was correct-horse-battery"
    found = scrubbed({"list": [text], "tuple": (text, {"deeper": (text,)}), "number": 5})
    assert "correct-horse-battery" not in repr(found)
    assert found["number"] == 5
    assert len(found["tuple"]) == 2
