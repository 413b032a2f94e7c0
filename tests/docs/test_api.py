"""The page about the interface: exactly the endpoints that there are, each with the scope that it asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from fastapi import FastAPI
from starlette.routing import Route

from datalab.api.app import create_api

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
ROW = re.compile(r"^\| ([A-Z]+) \| `([^`]+)` \| `?([a-z:]+)`? \| .+ \|$", re.MULTILINE)


def endpoints(api: FastAPI) -> Iterator[tuple[str, str, str]]:
    """Method, address and scope; of what the OpenAPI document leaves out too."""
    document = api.openapi()["paths"]
    for address, methods in document.items():
        for method, operation in methods.items():
            scopes = [scope for one in operation.get("security", []) for listed in one.values() for scope in listed]
            yield method.upper(), address, " ".join(scopes) or "none"
    for route in api.routes:
        if isinstance(route, Route) and route.path not in document and not route.include_in_schema:
            for method in sorted((route.methods or set()) - {"HEAD"}):
                yield method, route.path, "none"


def test_the_page_has_every_endpoint_with_its_scope_and_no_other() -> None:
    api = create_api(cast("Any", None))  # nothing is called
    there = sorted(endpoints(api))
    assert len(there) > 60
    assert sorted(ROW.findall(PAGE.read_text(encoding="utf-8"))) == there
