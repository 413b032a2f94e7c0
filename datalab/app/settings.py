"""Every setting of the gateway, read from the environment in this one place and frozen.

Owns their names (`DATALAB_` + group + `_` + name), defaults and bounds; groups follow the stages of a query. Secrets have
no default. All problems are reported at once, misspelt names included. Must never be imported below `datalab.app`.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

PREFIX = "DATALAB_"
NOT_SETTINGS = frozenset({"DATALAB_HOME", "DATALAB_URL", "DATALAB_CLIENT_ID", "DATALAB_CLIENT_SECRET"})
"""What the command line reads itself."""

GIB = 1 << 30
MASK = "********"


class SettingsRefused(Exception):
    """problems: one sentence per wrong setting, each with the variable's name; never a value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def _listed(value: object) -> object:
    """`a, b` as a list."""
    return [one.strip() for one in value.split(",") if one.strip()] if isinstance(value, str) else value


def _public_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
        raise ValueError("must be an origin such as https://data.example.org, without a path")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError("must be an origin such as https://data.example.org, and nothing else")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("must be https; http is for loopback addresses only")
    return value.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _database_url(value: SecretStr) -> SecretStr:
    try:
        backend = make_url(value.get_secret_value()).drivername
    except ArgumentError:
        raise ValueError("must be a database URL") from None
    if backend not in {"sqlite", "postgresql+psycopg"}:
        raise ValueError("must begin with sqlite:/// or postgresql+psycopg://")
    return value


def _absolute(value: Path) -> Path:
    if not value.is_absolute():
        raise ValueError("must be an absolute path")
    return value


def _endpoint(value: str) -> str:
    if "/" in value:
        ipaddress.ip_network(value)
    elif not value or any(character in value for character in " :@?#"):
        raise ValueError("must be a host name or a network such as 10.0.0.0/8")
    return value.lower()


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
Paths = Annotated[tuple[AbsolutePath, ...], NoDecode, BeforeValidator(_listed)]
Endpoints = Annotated[tuple[Annotated[str, AfterValidator(_endpoint)], ...], NoDecode, BeforeValidator(_listed)]
Hosts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]


class Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerSettings(Group):
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    public_url: Annotated[str, AfterValidator(_public_url)] | None = Field(
        default=None,
        description="Origin by which clients reach the gateway; also the name of its token issuer. Needed unless it "
        "listens on a loopback address.",
    )
    trusted_proxies: Hosts = Field(
        default=(), description="Addresses of proxies whose X-Forwarded-For and -Proto are believed; none by default."
    )
    max_body_bytes: int = Field(default=1_000_000, ge=10_000, description="Largest request body, in bytes.")
    max_connections: int = Field(default=1000, ge=1, description="Requests at once; more are answered with 503.")
    shutdown_timeout_s: int = Field(default=30, ge=0, description="How long running answers may finish at shutdown.")


class TokenSettings(Group):
    lifetime_s: int = Field(default=900, ge=60, le=3600, description="Life of an access token, in seconds.")
    issuers_file: AbsolutePath | None = Field(
        default=None, description="YAML file with the external issuers whose tokens are accepted as well."
    )


class StatementSettings(Group):
    max_length: int = Field(default=50_000, ge=100, le=1_000_000, description="Longest SQL text, in characters.")


class EngineSettings(Group):
    active: int = Field(default=2, ge=1, le=256, description="Queries that run at once, each in its worker process.")
    queued: int = Field(default=64, ge=0, description="Queries that wait for a place; one more is answered with 429.")
    warm: int = Field(default=4, ge=1, le=256, description="Prepared worker processes kept idle.")
    spares: int = Field(default=1, ge=0, le=64, description="Unprepared worker processes kept ready.")
    threads: int = Field(default=2, ge=1, le=256, description="Threads of one query.")
    memory_bytes: int = Field(default=4 * GIB, ge=GIB // 2, description="Address space of a worker (RLIMIT_AS).")
    duckdb_memory_bytes: int = Field(default=GIB, ge=GIB // 16, description="DuckDB's memory_limit in a worker.")
    spill_bytes: int = Field(default=8 * GIB, ge=0, description="Temporary files of one query.")
    timeout_s: float = Field(default=60.0, gt=0, le=86_400, description="Longest run of one query, in seconds.")
    require_landlock: bool = Field(
        default=False, description="Refuse to start where the kernel has no Landlock to confine the workers."
    )


class StreamSettings(Group):
    idle_timeout_s: float = Field(
        default=60.0, gt=0, le=86_400, description="How long a client may stop reading before its query is ended."
    )


class AuditSettings(Group):
    database_url: DatabaseUrl | None = Field(
        default=None,
        description="Where the audit trail is kept: by default the main database, or a file of its own in the home.",
    )
    checkpoint_file: AbsolutePath | None = Field(
        default=None, description="Append-only file for signed checkpoints; keep it outside the home and the database."
    )
    checkpoint_interval_s: int = Field(default=60, ge=1, le=86_400, description="Seconds between checkpoints.")


class DatabaseSettings(Group):
    url: DatabaseUrl | None = Field(
        default=None, description="Main database; by default an SQLite file in the home. It may hold a password."
    )


class StorageSettings(Group):
    local_roots: Paths = Field(
        default=(), description="Directories, by commas, below which local storages may lie; none by default."
    )
    allowed_endpoints: Endpoints = Field(
        default=(),
        description="Hosts and networks, by commas, that storages may reach although they are not public: loopback, "
        "private and link-local addresses are refused otherwise.",
    )
    allow_http: bool = Field(default=False, description="Accept S3 endpoints without TLS.")


class LogSettings(Group):
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )
    format: Literal["text", "json"] = Field(
        default="text", description="One line of text, or one JSON object, per entry."
    )


class Settings(BaseSettings):
    """The effective settings; make it with `read_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="_", env_nested_max_split=1, frozen=True, extra="forbid"
    )

    server: ServerSettings = ServerSettings()
    token: TokenSettings = TokenSettings()
    statement: StatementSettings = StatementSettings()
    engine: EngineSettings = EngineSettings()
    stream: StreamSettings = StreamSettings()
    audit: AuditSettings = AuditSettings()
    database: DatabaseSettings = DatabaseSettings()
    storage: StorageSettings = StorageSettings()
    log: LogSettings = LogSettings()


def names() -> Iterator[tuple[str, str, str, Any]]:
    """(variable, group, name, field) of every setting, in the order of the groups."""
    for group, field in Settings.model_fields.items():
        kind = field.annotation
        assert isinstance(kind, type)
        assert issubclass(kind, Group)
        for name, member in kind.model_fields.items():
            yield f"{PREFIX}{group}_{name}".upper(), group, name, member


def read_settings(instead: Mapping[str, str] | None = None) -> Settings:
    """The settings from the environment. instead: variables that count in place of the environment's.

    Raises SettingsRefused with all problems at once.
    """
    known = {variable: (group, name) for variable, group, name, _ in names()}
    unknown = {one for one in os.environ if one.startswith(PREFIX)} - known.keys() - NOT_SETTINGS
    problems = [f"{one} is not a setting" for one in sorted(unknown)]
    groups: dict[str, Any] = {}
    for variable, value in (instead or {}).items():
        group, name = known[variable]
        groups.setdefault(group, {})[name] = value
    try:
        settings = Settings(**groups)
    except ValidationError as error:
        wrong = [one for one in error.errors() if one["type"] != "extra_forbidden"]
        problems += [f"{_variable(one['loc'])}: {one['msg'].removeprefix('Value error, ')}" for one in wrong]
        raise SettingsRefused(problems) from None
    problems += _contradictions(settings)
    if problems:
        raise SettingsRefused(problems)
    return settings


def _variable(location: tuple[int | str, ...]) -> str:
    return PREFIX + "_".join(str(step) for step in location[:2]).upper()


def _contradictions(settings: Settings) -> Iterator[str]:
    if settings.server.public_url is None and not is_loopback(settings.server.host):
        yield "DATALAB_SERVER_PUBLIC_URL is needed, because the gateway listens on more than loopback"
    if "AUTHLIB_INSECURE_TRANSPORT" in os.environ:
        yield "AUTHLIB_INSECURE_TRANSPORT must not be set: it would accept OAuth without TLS anywhere"
    if settings.engine.duckdb_memory_bytes > settings.engine.memory_bytes:
        yield "DATALAB_ENGINE_DUCKDB_MEMORY_BYTES must not exceed DATALAB_ENGINE_MEMORY_BYTES"


def shown(settings: Settings) -> Mapping[str, str]:
    """The effective values by variable, secrets masked; what `datalab check` prints."""
    values: dict[str, str] = {}
    for variable, group, name, _ in names():
        value = getattr(getattr(settings, group), name)
        if isinstance(value, SecretStr):
            values[variable] = MASK
        elif isinstance(value, tuple):
            values[variable] = ", ".join(str(one) for one in value)
        else:
            values[variable] = "" if value is None else str(value)
    return values
