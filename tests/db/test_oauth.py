"""Clients, secrets and revocations in the database, on both engines, seen by several processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from datalab.db.database import Database, open_engine
from datalab.db.migrations import migrate
from datalab.db.oauth import IdentityReader, OAuthStore
from datalab.flow.principal import Role
from datalab.oauth.client import Client, matching, new_client_id, new_secret, record_of

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
ISSUER = "https://gateway.example"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/main.sqlite"
    else:
        url = request.getfixturevalue("postgres_server").create_database(f"oauth_{uuid4().hex}")
    opened = open_engine(url)
    migrate(opened)
    yield opened
    opened.dispose()


def client(participant: str = "acme", *roles: Role, secret: str | None = None) -> Client:
    return Client(
        client_id=new_client_id(participant),
        participant=participant,
        participant_uid=f"uid-{participant}",
        name="test",
        roles=frozenset(roles or {Role.MEMBER}),
        scopes=frozenset({"data:query", "catalog:read"}),
        created_at=NOW,
        secrets=(record_of(secret or new_secret(), NOW),),
    )


def test_a_client_comes_back_as_it_was_stored(engine: Engine) -> None:
    store = OAuthStore(Database(engine))
    stored = client("acme", Role.MEMBER, Role.PARTICIPANT_ADMIN)
    store.add(stored)
    assert store.find(stored.client_id) == stored
    assert store.find("nobody") is None


def test_lists_leave_out_revoked_clients_and_other_participants(engine: Engine) -> None:
    store = OAuthStore(Database(engine))
    mine = sorted((client() for _ in range(4)), key=lambda one: one.client_id)
    for one in (*mine, client("other")):
        store.add(one)
    store.revoke(mine[1].client_id, NOW)
    kept = [one.client_id for one in mine if one is not mine[1]]
    assert [one.client_id for one in store.of_participant("uid-acme", after=None, limit=10)] == kept
    assert [one.client_id for one in store.of_participant("uid-acme", after=kept[0], limit=1)] == [kept[1]]


def test_who_holds_a_role_counts_living_clients_only(engine: Engine) -> None:
    store = OAuthStore(Database(engine))
    operator = client("ops", Role.GATEWAY_OPERATOR)
    store.add(operator)
    store.add(client())
    assert store.holds(Role.GATEWAY_OPERATOR)
    assert store.holds(Role.GATEWAY_OPERATOR, participant_uid="uid-ops")
    assert not store.holds(Role.GATEWAY_OPERATOR, participant_uid="uid-acme")
    assert not store.holds(Role.GATEWAY_OPERATOR, besides=operator.client_id)
    store.revoke(operator.client_id, NOW)
    assert not store.holds(Role.GATEWAY_OPERATOR)


def test_rotation_shortens_but_never_lengthens(engine: Engine) -> None:
    store = OAuthStore(Database(engine))
    stored = client()
    store.add(stored)
    for minutes in (1, 60):
        until = NOW + timedelta(minutes=minutes)
        fresh = replace(record_of(new_secret(), NOW + timedelta(seconds=minutes)))
        store.rotate(stored.client_id, fresh, others_expire_at=until, revoke_others_at=None)
    found = store.find(stored.client_id)
    assert found is not None
    assert [one.expires_at for one in found.secrets] == [
        NOW + timedelta(minutes=1), NOW + timedelta(minutes=60), None,
    ]  # fmt: skip


def test_a_secret_matches_while_it_is_valid(engine: Engine) -> None:
    store = OAuthStore(Database(engine))
    secret = new_secret()
    stored = client(secret=secret)
    store.add(stored)
    assert matching(store.find(stored.client_id), secret, NOW) is not None
    assert matching(store.find(stored.client_id), secret + "x", NOW) is None
    assert matching(None, secret, NOW) is None
    store.rotate(stored.client_id, record_of(new_secret(), NOW), others_expire_at=None, revoke_others_at=NOW)
    assert matching(store.find(stored.client_id), secret, NOW) is None


def test_another_process_sees_a_revocation_at_its_next_look(engine: Engine) -> None:
    here, elsewhere = Database(engine), Database(engine)
    store, reader = OAuthStore(here), IdentityReader(elsewhere)
    stored = client()
    store.add(stored)
    before = elsewhere.revision()
    identity = reader.client(stored.client_id, revision=before)
    assert identity is not None
    assert not identity.revoked
    assert not reader.is_revoked(ISSUER, "t1", revision=before)
    store.revoke_token(ISSUER, "t1", expires_at=int(NOW.timestamp()) + 900, at=NOW)
    store.revoke(stored.client_id, NOW)
    after = elsewhere.revision()
    assert after == before + 2
    assert reader.is_revoked(ISSUER, "t1", revision=after)
    assert not reader.is_revoked("https://other.example", "t1", revision=after)
    revoked = reader.client(stored.client_id, revision=after)
    assert revoked is not None
    assert revoked.revoked


def test_a_revoked_secret_is_a_revoked_grant(engine: Engine) -> None:
    database = Database(engine)
    store, reader = OAuthStore(database), IdentityReader(database)
    stored = client()
    store.add(stored)
    store.rotate(stored.client_id, record_of(new_secret(), NOW), others_expire_at=None, revoke_others_at=NOW)
    identity = reader.client(stored.client_id, revision=database.revision())
    assert identity is not None
    assert identity.revoked_grants == {stored.secrets[0].id}


def test_revoking_twice_and_at_once_is_one_revocation(engine: Engine) -> None:
    store = OAuthStore(Database(engine))
    start = Barrier(6)
    failures: list[BaseException] = []

    def revoke() -> None:
        start.wait()
        try:
            store.revoke_token(ISSUER, "t1", expires_at=int(NOW.timestamp()) + 900, at=NOW)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test must hear of it
            failures.append(error)

    threads = [Thread(target=revoke) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert IdentityReader(Database(engine)).is_revoked(ISSUER, "t1", revision=99)
