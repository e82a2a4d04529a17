from __future__ import annotations

import re
from typing import Any

from openapi_spec_validator import validate

from gorilla_jupyter.answer import MAX_CHARACTERS, Request
from gorilla_jupyter.server.routes import HANDLERS
from gorilla_jupyter.server.supervisor import JobKind, JobState

METHODS = ("delete", "get", "patch", "post", "put")


def test_is_an_openapi_description(openapi: Any) -> None:
    validate(openapi)


def test_describes_every_route_and_no_other(openapi: Any) -> None:
    routes = {
        re.sub(r"\(.*?\)", "{id}", pattern): {name for name in METHODS if name in vars(handler)}
        for pattern, handler in HANDLERS
    }
    described = {path: set(item) for path, item in openapi["paths"].items()}
    assert described == routes


def test_describes_requests_and_jobs_as_they_are(openapi: Any) -> None:
    schemas = openapi["components"]["schemas"]
    request = schemas["Request"]["properties"]
    assert request.keys() == Request.__dataclass_fields__.keys()
    for name in ("candidates", "documents"):
        assert request[name]["default"] == getattr(Request, name)
    assert request["instruction"]["maxLength"] == MAX_CHARACTERS
    assert set(schemas["Job"]["properties"]["kind"]["enum"]) == set(JobKind)
    assert set(schemas["Job"]["properties"]["state"]["enum"]) == set(JobState)


def test_every_shape_is_used(openapi: Any) -> None:
    text = str(openapi)
    for name in openapi["components"]["schemas"]:
        assert f"#/components/schemas/{name}'" in text
