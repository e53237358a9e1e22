"""Who owns a project: a pin, then the order; and nobody who was not asked takes anybody's place."""

from __future__ import annotations

from mirror.model.files import ProjectPage, Source
from mirror.model.names import IndexName, ProjectName, index_name, project_name
from mirror.model.urls import url
from mirror.plan.owners import Nobody, NotYet, Unknown, Unread, owner

ONE, TWO, THREE = index_name("one"), index_name("two"), index_name("three")
DEMO = project_name("demo")
Answer = ProjectPage | Unread | NotYet | None


def _page(index: IndexName) -> ProjectPage:
    return ProjectPage(source=Source(index=index, project=DEMO, page_url=url(f"https://{index}/demo/")), links=())


def _owner(pins: dict[ProjectName, IndexName], **known: Answer) -> tuple[object, list[IndexName]]:
    asked: list[IndexName] = []

    def page(index: IndexName) -> Answer:
        asked.append(index)
        return known[index]

    return owner(DEMO, pins.get, (ONE, TWO, THREE), page), asked


def test_the_first_index_that_lists_a_project_owns_it() -> None:
    """Also with an empty page; the later ones are not asked."""
    assert _owner({}, one=None, two=_page(TWO)) == (_page(TWO), [ONE, TWO])
    assert _owner({}, one=None, two=None, three=None) == (Nobody((ONE, TWO, THREE)), [ONE, TWO, THREE])


def test_an_index_that_cannot_be_asked_may_be_the_owner() -> None:
    """So no later one is."""
    assert _owner({}, one=None, two=Unread("503"), three=_page(THREE)) == (Unknown(TWO, "503"), [ONE, TWO])
    assert _owner({}, one=NotYet(ONE)) == (NotYet(ONE), [ONE])


def test_a_pin_leaves_one_index_to_ask() -> None:
    """Whether that has the project or not."""
    pins = {DEMO: TWO, project_name("other"): ONE}
    assert _owner(pins, two=_page(TWO)) == (_page(TWO), [TWO])
    assert _owner(pins, two=None) == (Nobody((TWO,)), [TWO])
