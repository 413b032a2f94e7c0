"""Everything that the endpoints call, as one frozen value; `datalab.app.wiring` makes it.

Each part adds its own field. Endpoints take it by `Provided`; they must never reach behind it to storage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from datalab.api.auth import Authentication
from datalab.flow.inquiry import Inquiry
from datalab.flow.ports import ConsistentCatalogue
from datalab.flow.run import Flow
from datalab.oauth.clients import Clients
from datalab.oauth.metadata import Authorization
from datalab.publish.jobs import Jobs
from datalab.publish.versions import Versions
from datalab.registry.admissions import Admissions
from datalab.registry.datasets import Datasets
from datalab.registry.discovery import Discovery
from datalab.registry.factories import AiFactories
from datalab.registry.labs import DataLabs
from datalab.registry.participants import Participants
from datalab.registry.policies import Policies
from datalab.registry.preview import Preview
from datalab.registry.spaces import DataSpaces
from datalab.registry.storages import Storages


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """ready: whether the gateway can serve, for `/readyz`."""

    authentication: Authentication
    authorization: Authorization
    clients: Clients
    catalogue: ConsistentCatalogue
    participants: Participants
    ai_factories: AiFactories
    data_spaces: DataSpaces
    data_labs: DataLabs
    admissions: Admissions
    storages: Storages
    datasets: Datasets
    discovery: Discovery
    policies: Policies
    preview: Preview
    versions: Versions
    jobs: Jobs
    flow: Flow
    inquiry: Inquiry
    ready: Callable[[], bool]


def services_of(request: Request) -> Services:
    return cast("Services", request.app.state.services)


Provided = Annotated[Services, Depends(services_of)]
