"""The HTTP interface, assembled: every router, and what holds for all of them.

Owns the order of the layers (envelope, intake, routes). Must never hold an endpoint of its own but health.
"""

from __future__ import annotations

import logging
from importlib.metadata import version

from fastapi import APIRouter, FastAPI, Response

from datalab.api import (
    ai_factories,
    audit,
    data_labs,
    data_spaces,
    datasets,
    explain,
    oauth,
    participants,
    policies,
    query,
    storages,
    versions,
)
from datalab.api.envelope import Envelope
from datalab.api.intake import MAX_BODY_BYTES, Intake
from datalab.api.problems import DOCUMENTED, answer_in_problems
from datalab.api.services import Provided, Services

log = logging.getLogger(__name__)

ROUTERS: tuple[APIRouter, ...] = (
    oauth.router,
    participants.router,
    ai_factories.router,
    data_spaces.router,
    data_labs.router,
    storages.router,
    datasets.router,
    versions.router,
    policies.router,
    query.router,
    explain.router,
    audit.router,
)


def create_api(services: Services, *, max_body_bytes: int = MAX_BODY_BYTES) -> FastAPI:
    """The whole interface over these services. max_body_bytes: the largest request body taken."""
    api = FastAPI(
        title="datalab",
        version=version("datalab-gateway"),
        openapi_url="/openapi.json",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        responses=DOCUMENTED,
        redirect_slashes=False,  # a redirect would tell which addresses exist
    )
    api.state.services = services
    answer_in_problems(api)
    api.add_api_route("/healthz", healthz, methods=["GET"], include_in_schema=False)
    api.add_api_route("/readyz", readyz, methods=["GET"], include_in_schema=False)
    for router in ROUTERS:
        api.include_router(router)
    api.add_middleware(Intake, max_body_bytes=max_body_bytes)
    api.add_middleware(Envelope)
    return api


def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


def readyz(services: Provided) -> Response:
    """The gateway can serve; without reasons, which are for operators and go to the log."""
    try:
        ready = services.ready()
    except Exception:
        log.exception("Not ready")
        ready = False
    return Response(status_code=200 if ready else 503)
