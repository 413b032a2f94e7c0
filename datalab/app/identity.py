"""Puts together who may come in: our own authorization server, the verifier for all issuers, and callers' identities.

Owns that wiring, and the rule that our own tokens pass the same verifier as everybody's. Must never hold a rule of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from datalab.api.auth import Authentication
from datalab.app.home import Keys
from datalab.app.issuers import read_issuers
from datalab.app.settings import Settings
from datalab.db.database import Database
from datalab.db.oauth import IdentityReader, OAuthStore
from datalab.flow.issuer import Issuer, IssuerRegistry
from datalab.flow.jwks import Clock, StaticKeys
from datalab.flow.ports import Catalogue
from datalab.flow.principal import Resolver
from datalab.flow.token import Verifier
from datalab.oauth.clients import Clients
from datalab.oauth.issue import AccessTokens
from datalab.oauth.keys import ALGORITHM
from datalab.oauth.metadata import RESOURCE_METADATA_PATH, Authorization, resource_metadata, server_metadata
from datalab.oauth.ports import Journal
from datalab.oauth.server import TokenServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What the application's services take from here."""

    authentication: Authentication
    authorization: Authorization
    clients: Clients


def build_identity(
    settings: Settings,
    keys: Keys,
    *,
    public_url: str,
    database: Database,
    catalogue: Catalogue,
    journal: Journal,
    clock: Clock,
) -> Identity:
    """public_url: the origin by which clients reach the gateway. Raises SettingsRefused for a wrong issuers file."""
    external = read_issuers(settings.token.issuers_file, audience=public_url, clock=clock)
    own = Issuer(
        issuer=public_url,
        audience=public_url,
        keys=StaticKeys(keys.signing.verifying()),
        algorithms=frozenset({ALGORITHM}),
    )
    verifier = Verifier(IssuerRegistry((own, *external.issuers)), clock)
    store = OAuthStore(database)
    tokens = AccessTokens(
        issuer=public_url,
        audience=public_url,
        lifetime_s=settings.token.lifetime_s,
        keys=keys.signing,
        journal=journal,
        clock=clock,
    )
    server = TokenServer(
        public_url=public_url,
        tokens=tokens,
        verifier=verifier,
        clients=store,
        revocations=store,
        catalogue=catalogue,
        journal=journal,
        clock=clock,
    )
    issuers = [public_url, *(issuer.issuer for issuer in external.issuers)]
    return Identity(
        authentication=Authentication(
            verifier=verifier,
            resolver=Resolver(public_url, IdentityReader(database), catalogue, external.rules),
            resource_metadata_url=public_url + RESOURCE_METADATA_PATH,
        ),
        authorization=Authorization(
            server=server,
            jwks=keys.signing.published(),
            server_metadata=server_metadata(public_url),
            resource_metadata=resource_metadata(public_url, issuers),
        ),
        clients=Clients(store, catalogue, journal, clock),
    )
