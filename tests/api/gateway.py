"""The HTTP interface over a furnished registry, called with tokens that are really signed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.testclient import TestClient

from datalab.api.app import create_api
from datalab.api.auth import Authentication
from datalab.api.services import Services
from datalab.db.oauth import IdentityReader
from datalab.flow.issuer import Issuer, IssuerRegistry
from datalab.flow.jwks import StaticKeys
from datalab.flow.principal import IssuerRule, Resolver, Role
from datalab.flow.token import Scope, Verifier
from tests.registry.world import World

ISSUER = "https://login.example.org"
AUDIENCE = "https://gateway.example.org"
KEY = ECKey.generate_key("P-256", {"kid": "test"})
EVERY_SCOPE = " ".join(Scope)


class Gateway:
    def __init__(self, world: World) -> None:
        self.world = world
        public = ECKey.import_key(KEY.as_dict(private=False))
        issuer = Issuer(
            issuer=ISSUER, audience=AUDIENCE, keys=StaticKeys({"test": public}), algorithms=frozenset({"ES256"})
        )
        rule = IssuerRule(
            participant_claim="org",
            participants={name: name for name in ("alpha", "beta", "labco", "steward", "outsider", "ops", "nobody")},
            roles_claim="roles",
            roles={role.value: role for role in Role},
        )
        resolver = Resolver("https://own.example.org", IdentityReader(world.database), world.reader, {ISSUER: rule})
        own: dict[str, Any] = {
            "authentication": Authentication(
                verifier=Verifier(IssuerRegistry([issuer]), world.clock),
                resolver=resolver,
                resource_metadata_url=f"{AUDIENCE}/.well-known/oauth-protected-resource",
            ),
            "catalogue": world.reader,
            "participants": world.participants,
            "ai_factories": world.ai_factories,
            "data_spaces": world.data_spaces,
            "data_labs": world.data_labs,
            "admissions": world.admissions,
            "storages": world.storages,
            "datasets": world.datasets,
            "discovery": world.discovery,
            "policies": world.policies,
            "preview": world.preview,
            "ready": lambda: True,
        }
        # The parts of others are not called from here.
        others = {field.name: cast("Any", None) for field in fields(Services) if field.name not in own}
        self.api = create_api(Services(**own, **others))
        self.client = TestClient(self.api)

    def token(self, org: str, *roles: Role, scope: str = EVERY_SCOPE) -> str:
        now = int(self.world.clock.now.timestamp())
        claims = {
            "iss": ISSUER,
            "sub": f"{org}-user",
            "aud": AUDIENCE,
            "client_id": f"{org}-client",
            "jti": f"{org}-{'-'.join(roles)}",
            "iat": now,
            "exp": now + 900,
            "scope": scope,
            "org": org,
            "roles": [role.value for role in roles],
        }
        return jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": "test"}, claims, KEY, algorithms=["ES256"])

    def call(
        self,
        method: str,
        path: str,
        who: str | None = "alpha",
        *roles: Role,
        scope: str = EVERY_SCOPE,
        headers: Mapping[str, str] | None = None,
        **rest: Any,
    ) -> Any:
        """who: the caller's participant; None sends no token. roles: none is a member."""
        sent = dict(headers or {})
        if who is not None:
            sent["Authorization"] = f"Bearer {self.token(who, *roles, scope=scope)}"
        return self.client.request(method, path, headers=sent, **rest)
