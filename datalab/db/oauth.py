"""The tables of the authorization server: clients, digests of their secrets, and revoked tokens.

Implements `datalab.oauth.ports` and `datalab.flow.ports.Identities`. Must never hold a secret or a token in clear, and must
never answer from a memo of an older revision than the last committed write.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String, Text, delete, exists, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from datalab.db.base import Base, UtcDateTime
from datalab.db.columns import NAME_LENGTH, UID_LENGTH, EnumText, Texts
from datalab.db.database import Database
from datalab.flow.principal import ClientIdentity, Role
from datalab.flow.token import LEEWAY_S
from datalab.oauth.client import Client, ClientSecret

CLIENT_ID_LENGTH = NAME_LENGTH + 13
MEMO_SIZE = 10_000


class ClientRoleRow(Base):
    __tablename__ = "oauth_client_roles"

    client_id: Mapped[str] = mapped_column(ForeignKey("oauth_clients.client_id"), primary_key=True)
    role: Mapped[Role] = mapped_column(EnumText(Role), primary_key=True, index=True)


class ClientSecretRow(Base):
    __tablename__ = "oauth_client_secrets"

    id: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("oauth_clients.client_id"), index=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ClientRow(Base):
    """`participant_uid` is no foreign key: a client outlives its participant as a refusal, not as a hindrance."""

    __tablename__ = "oauth_clients"

    client_id: Mapped[str] = mapped_column(String(CLIENT_ID_LENGTH), primary_key=True)
    participant: Mapped[str] = mapped_column(String(NAME_LENGTH))
    participant_uid: Mapped[str] = mapped_column(String(UID_LENGTH), index=True)
    name: Mapped[str] = mapped_column(Text)
    scopes: Mapped[tuple[str, ...]] = mapped_column(Texts)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    role_rows: Mapped[list[ClientRoleRow]] = relationship(lazy="selectin")
    secret_rows: Mapped[list[ClientSecretRow]] = relationship(lazy="selectin", order_by=ClientSecretRow.created_at)


class RevokedTokenRow(Base):
    __tablename__ = "oauth_revoked_tokens"

    issuer: Mapped[str] = mapped_column(String(255), primary_key=True)
    token_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)
    revoked_at: Mapped[datetime] = mapped_column(UtcDateTime)


class OAuthStore:
    """Clients and revocations in the main database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, client_id: str) -> Client | None:
        with self._database.read() as session:
            row = session.get(ClientRow, client_id)
            return _client(row) if row is not None else None

    def of_participant(self, participant_uid: str, *, after: str | None, limit: int) -> tuple[Client, ...]:
        query = (
            select(ClientRow)
            .where(ClientRow.participant_uid == participant_uid, ClientRow.revoked_at.is_(None))
            .order_by(ClientRow.client_id)
            .limit(limit)
        )
        if after is not None:
            query = query.where(ClientRow.client_id > after)
        with self._database.read() as session:
            return tuple(_client(row) for row in session.scalars(query))

    def holds(self, role: Role, *, participant_uid: str | None = None, besides: str | None = None) -> bool:
        query = select(ClientRow.client_id).join(ClientRoleRow).where(ClientRoleRow.role == role)
        query = query.where(ClientRow.revoked_at.is_(None))
        if participant_uid is not None:
            query = query.where(ClientRow.participant_uid == participant_uid)
        if besides is not None:
            query = query.where(ClientRow.client_id != besides)
        with self._database.read() as session:
            return bool(session.scalar(select(exists(query.subquery().select()))))

    def add(self, client: Client) -> None:
        with self._database.write() as session:
            add_client(session, client)

    def rotate(
        self, client_id: str, new: ClientSecret, *, others_expire_at: datetime | None, revoke_others_at: datetime | None
    ) -> None:
        with self._database.write() as session:
            others = select(ClientSecretRow).where(
                ClientSecretRow.client_id == client_id, ClientSecretRow.revoked_at.is_(None)
            )
            for row in session.scalars(others):
                row.revoked_at = revoke_others_at
                if others_expire_at is not None:
                    row.expires_at = min(row.expires_at or others_expire_at, others_expire_at)
            session.add(_secret_row(client_id, new))

    def revoke(self, client_id: str, at: datetime) -> None:
        with self._database.write() as session:
            session.execute(
                update(ClientRow)
                .where(ClientRow.client_id == client_id, ClientRow.revoked_at.is_(None))
                .values(revoked_at=at)
            )

    def revoke_token(self, issuer: str, token_id: str, *, expires_at: int, at: datetime) -> None:
        with self._database.write() as session:
            gone = int(at.timestamp()) - LEEWAY_S
            session.execute(delete(RevokedTokenRow).where(RevokedTokenRow.expires_at < gone))
            if session.get(RevokedTokenRow, (issuer, token_id)) is None:
                session.add(RevokedTokenRow(issuer=issuer, token_id=token_id, expires_at=expires_at, revoked_at=at))


class IdentityReader:
    """`datalab.flow.ports.Identities`, remembered for as long as the revision stands still."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._clients: tuple[int, dict[str, ClientIdentity | None]] = (-1, {})
        self._revoked: tuple[int, frozenset[tuple[str, str]]] = (-1, frozenset())

    def client(self, client_id: str, *, revision: int) -> ClientIdentity | None:
        known_of, known = self._clients
        if known_of != revision or len(known) >= MEMO_SIZE:
            known = {}
            self._clients = (revision, known)
        if client_id not in known:
            with self._database.read() as session:
                row = session.get(ClientRow, client_id)
                known[client_id] = _identity(row) if row is not None else None
        return known[client_id]

    def is_revoked(self, issuer: str, token_id: str, *, revision: int) -> bool:
        known_of, revoked = self._revoked
        if known_of != revision:
            with self._database.read() as session:
                rows = session.execute(select(RevokedTokenRow.issuer, RevokedTokenRow.token_id))
                revoked = frozenset((row.issuer, row.token_id) for row in rows)
            self._revoked = (revision, revoked)
        return (issuer, token_id) in revoked


def add_client(session: Session, client: Client) -> None:
    """Within a transaction of the caller's, as `init` needs it."""
    session.add(
        ClientRow(
            client_id=client.client_id,
            participant=client.participant,
            participant_uid=client.participant_uid,
            name=client.name,
            scopes=tuple(sorted(client.scopes)),
            created_at=client.created_at,
            role_rows=[ClientRoleRow(role=role) for role in sorted(client.roles)],
            secret_rows=[_secret_row(client.client_id, secret) for secret in client.secrets],
        )
    )


def _secret_row(client_id: str, secret: ClientSecret) -> ClientSecretRow:
    return ClientSecretRow(
        id=secret.id,
        client_id=client_id,
        digest=secret.digest,
        created_at=secret.created_at,
        expires_at=secret.expires_at,
        revoked_at=secret.revoked_at,
    )


def _client(row: ClientRow) -> Client:
    return Client(
        client_id=row.client_id,
        participant=row.participant,
        participant_uid=row.participant_uid,
        name=row.name,
        roles=frozenset(one.role for one in row.role_rows),
        scopes=frozenset(row.scopes),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        secrets=tuple(
            ClientSecret(
                id=one.id,
                digest=one.digest,
                created_at=one.created_at,
                expires_at=one.expires_at,
                revoked_at=one.revoked_at,
            )
            for one in row.secret_rows
        ),
    )


def _identity(row: ClientRow) -> ClientIdentity:
    return ClientIdentity(
        client_id=row.client_id,
        participant=row.participant,
        participant_uid=row.participant_uid,
        roles=frozenset(one.role for one in row.role_rows),
        revoked=row.revoked_at is not None,
        revoked_grants=frozenset(one.id for one in row.secret_rows if one.revoked_at is not None),
    )
