"""The table of routes and what is made from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from jobworker.api import wire
from jobworker.api.document.openapi import document, operation_id
from jobworker.api.errors import STATUS
from jobworker.api.resources import jobs
from jobworker.api.route import Route, Router
from jobworker.api.routes import ROUTES
from jobworker.api.views import HealthAnswer
from jobworker.identity.permissions import ON_A_JOB, Action

DOCUMENT = document(ROUTES)

IDS = [f"{route.method} {route.path}" for route in ROUTES]


def test_a_route_without_an_action_does_not_start_up() -> None:
    for action in (None, "status"):
        with pytest.raises(TypeError, match="GET /x has no action"):
            Route("GET", "/x", action, jobs.health, HealthAnswer)  # type: ignore[arg-type]


def test_only_what_tells_nothing_is_public() -> None:
    public = {route.path for route in ROUTES if route.public}
    assert public == {"/healthz", "/readyz", "/openapi.json", "/docs", "/"}


@pytest.mark.parametrize("route", ROUTES, ids=IDS)
def test_a_route_about_a_job_has_an_action_that_asks_for_its_owner(route: Route) -> None:
    assert route.about_job == (route.action in ON_A_JOB)


def test_every_action_has_a_route() -> None:
    assert {route.action for route in ROUTES} == set(Action)


def test_a_route_stands_once_in_the_table() -> None:
    with pytest.raises(ValueError, match="stands twice"):
        Router((*ROUTES, ROUTES[0]))


def test_a_job_is_named_after_jobs_only() -> None:
    route = Route("GET", "/users/{id}", Action.STATUS, jobs.health, HealthAnswer)
    with pytest.raises(ValueError, match="after /jobs/ only"):
        Router([route])


@pytest.mark.parametrize("route", ROUTES, ids=IDS)
def test_the_document_describes_each_route(route: Route) -> None:
    operation = DOCUMENT["paths"][route.path][route.method.lower()]
    assert operation["summary"]
    assert operation["security"] == ([] if route.public else [{"bearer": []}])
    statuses = {str(STATUS[error]) for error in route.all_errors} | {str(route.status)}
    assert operation["responses"].keys() - {"206"} == statuses
    assert ("206" in operation["responses"]) == (wire.RANGE in route.headers)
    assert ("requestBody" in operation) == (route.body is not None)
    if route.about_job:
        assert operation["parameters"][0]["name"] == "id"


def test_the_document_describes_nothing_else() -> None:
    described = {
        (method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item
    }
    assert described == {(route.method, route.path) for route in ROUTES}


def test_operations_have_names_of_their_own() -> None:
    names = [operation_id(route) for route in ROUTES]
    assert len(set(names)) == len(names)


def test_the_parameters_of_a_list_are_documented() -> None:
    parameters = DOCUMENT["paths"]["/jobs"]["get"]["parameters"]
    assert {"status", "owner", "label", "idPrefix", "limit", "cursor"} <= {
        each["name"] for each in parameters
    }


def test_every_reference_in_the_document_leads_somewhere() -> None:
    found = list(references(DOCUMENT))
    assert found
    for reference in found:
        _, components, kind, name = reference.split("/")
        assert components == "components"
        assert name in DOCUMENT["components"][kind]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)
