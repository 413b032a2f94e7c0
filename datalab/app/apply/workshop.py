"""The services that apply calls, made from a home's foundation, for a process that serves nobody.

Owns that wiring. A server may run on the same home at the same time: each step is a transaction of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from datalab.app.foundation import Foundation
from datalab.app.places import Places, sealer, storage_rules
from datalab.db.oauth import OAuthStore
from datalab.db.publishing import SqlVersions
from datalab.flow.ports import Catalogue
from datalab.oauth.clients import Clients
from datalab.publish.process import Limits
from datalab.publish.versions import Versions
from datalab.registry.admissions import Admissions
from datalab.registry.datasets import Datasets
from datalab.registry.factories import AiFactories
from datalab.registry.labs import DataLabs
from datalab.registry.participants import Participants
from datalab.registry.policies import Policies
from datalab.registry.spaces import DataSpaces
from datalab.registry.storages import Storages


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """`Registrations` and `Places` of one home."""

    catalogue: Catalogue
    client_store: OAuthStore
    clients: Clients
    participants: Participants
    ai_factories: AiFactories
    data_spaces: DataSpaces
    data_labs: DataLabs
    admissions: Admissions
    storages: Storages
    datasets: Datasets
    policies: Policies
    versions: Versions
    places: Places


def workshop_of(base: Foundation) -> Workshop:
    keys = sealer(base.keys)
    places = Places(storage_rules(base.home, base.settings.storage), keys, base.database)
    registrar, catalogue, client_store = base.registrar, base.catalogue, OAuthStore(base.database)
    return Workshop(
        catalogue=catalogue,
        client_store=client_store,
        clients=Clients(client_store, catalogue, base.journal, base.clock),
        participants=Participants(registrar, catalogue),
        ai_factories=AiFactories(registrar, catalogue),
        data_spaces=DataSpaces(registrar, catalogue),
        data_labs=DataLabs(registrar, catalogue),
        admissions=Admissions(registrar, catalogue),
        storages=Storages(registrar, catalogue, keys, places.screen),
        datasets=Datasets(registrar, catalogue),
        policies=Policies(registrar),
        versions=Versions(
            SqlVersions(base.database),
            catalogue,
            places,
            base.journal,
            clock=base.clock,
            limits=Limits(require_landlock=base.settings.engine.require_landlock),
        ),
        places=places,
    )
