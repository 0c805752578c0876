"""The pages for people: whole, local, and what is text stays text."""

from __future__ import annotations

import base64
import hashlib
from html.parser import HTMLParser

import pytest

from jobworker.api.document import pages
from jobworker.api.document.openapi import document, operation_id
from jobworker.api.routes import ROUTES

VOID = {"meta", "link"}


class Page(HTMLParser):
    """What a page is made of; an element that is not closed fails."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.anchors: list[str] = []
        self.references: list[str] = []
        self.attributes: set[str] = set()
        self.texts: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        if tag not in VOID:
            self._open.append(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.anchors.append(value or "")
            if name in ("href", "src"):
                self.references.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[self._open[-1]] = self.texts.get(self._open[-1], "") + data


REFERENCE = pages.reference(document(ROUTES))


@pytest.mark.parametrize("text", [REFERENCE, pages.home()], ids=["docs", "home"])
def test_nothing_on_a_page_comes_from_elsewhere(text: str) -> None:
    page = Page(text)
    assert not page.elements & {"script", "iframe", "img", "form", "object", "embed", "base"}
    assert not {name for name in page.attributes if name.startswith("on") or name == "style"}
    assert all(
        each == "data:," or each.startswith("#") or each in ("/docs", "/openapi.json")
        for each in page.references
    )
    assert "url(" not in page.texts["style"]
    assert "@import" not in page.texts["style"]


@pytest.mark.parametrize("text", [REFERENCE, pages.home()], ids=["docs", "home"])
def test_the_policy_allows_the_one_style_and_nothing_else(text: str) -> None:
    digest = hashlib.sha256(Page(text).texts["style"].encode()).digest()
    assert f"style-src 'sha256-{base64.b64encode(digest).decode()}'" in pages.POLICY
    assert pages.POLICY.startswith("default-src 'none'; ")
    assert "unsafe" not in pages.POLICY
    assert "script-src" not in pages.POLICY


def test_each_route_and_type_has_its_place_and_links_lead_there() -> None:
    page = Page(REFERENCE)
    assert len(set(page.anchors)) == len(page.anchors)
    assert {operation_id(route) for route in ROUTES} <= set(page.anchors)
    assert {each[1:] for each in page.references if each.startswith("#")} <= set(page.anchors)


def test_text_stays_text() -> None:
    described = document(ROUTES)
    described["info"]["description"] = "<script>alert(1)</script> `<b>`"
    page = pages.reference(described)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; <code>&lt;b&gt;</code>" in page
