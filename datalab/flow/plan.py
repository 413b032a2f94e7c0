"""The plan stage: Statement + Decisions -> Plan. What a worker will do, in the engine's words, and nothing it may choose.

Owns the views that stand for the datasets: the version's files, the decision's columns, rows and masks. Only Decisions
make a Plan; the engine accepts nothing else. Must never splice the caller's text into anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from catalog.entities import Column, Storage, Version
from connectors.contract import Connector, EngineAccess, changed, require_one_authority
from connectors.errors import StorageError
from datalab.flow.decision import Decision
from datalab.flow.errors import PlanConflict, PlanRefused, StorageUnavailable
from datalab.flow.hashkeys import HashKeys
from datalab.flow.ports import Catalogue, Storages
from datalab.flow.principal import Principal
from datalab.flow.request import Query
from datalab.flow.statement import Statement
from policies.compiler import compile_view
from policies.model import Action, MaskKind


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One dataset as this caller sees it: `"schema"."name"` stands for `select`."""

    schema: str
    name: str
    select: str = field(repr=False)  # holds the hash mask's key


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The files behind one view, to be checked before and after the plan."""

    dataset: str  # space.name
    version: Version
    connector: Connector


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """key: which prepared workers may run it (participant and storages). max_rows: the caller's own, truncates.
    policy_max_rows: the smallest that the policies set; more rows are an error. metadata: for the result's schema.
    """

    key: str
    access: tuple[EngineAccess, ...]
    views: tuple[View, ...]
    sources: tuple[Source, ...]
    query: Query
    tables: frozenset[tuple[str, str, str]]
    decisions: tuple[Decision, ...]
    policy_max_rows: int | None
    metadata: Mapping[str, str]

    def message(self) -> bytes:
        """The JSON that a worker runs."""
        query = self.query
        params: Any = dict(query.params) if isinstance(query.params, Mapping) else list(query.params)
        return orjson.dumps(
            {
                "sql": query.sql,
                "params": params,
                "views": [{"schema": v.schema, "name": v.name, "select": v.select} for v in self.views],
                "tables": sorted(self.tables),
                "format": query.format.value,
                "max_rows": query.max_rows,
                "policy_max_rows": self.policy_max_rows,
                "metadata": dict(self.metadata),
            }
        )

    def columns(self) -> dict[str, list[str]]:
        """The columns that the caller may name, by dataset."""
        return {
            decision.dataset.sql_name: [column.name for column in decision.shape.columns] for decision in self.decisions
        }


class FilesChanged(PlanConflict):
    """The files of these sources are no longer what their version's record says."""

    def __init__(self, sources: Sequence[Source]) -> None:
        super().__init__(
            "plan.changed",
            "The files of a dataset differ from its published version; its provider must publish a new one.",
            datasets=[source.dataset for source in sources],
        )
        self.sources = tuple(sources)


def make_plan(
    query: Query,
    statement: Statement,
    decisions: Sequence[Decision],
    principal: Principal,
    *,
    catalogue: Catalogue,
    storages: Storages,
    keys: HashKeys,
) -> Plan:
    """The plan for one statement.

    Raises:
        PlanRefused: what was decided cannot be held by this engine (aggregate-only access), or the storages may not be
            read together.
        StorageUnavailable: a storage's address or credentials no longer work.
    """
    sources, views, access, key_ids = [], [], {}, {}
    for decision in decisions:
        dataset, version = decision.dataset, decision.version
        require_rows(decision)
        storage = catalogue.storage(dataset.storage)
        if storage is None:
            raise StorageUnavailable("engine.storage", "The storage of a dataset is gone.", dataset=dataset.sql_name)
        connector, reach = reached(storage, storages)
        access[storage.uid] = reach
        sources.append(Source(dataset=dataset.sql_name, version=version, connector=connector))
        key = keys.of(dataset.uid)
        if hashes(decision):
            key_ids[f"datalab.hash_key.{dataset.sql_name}"] = key.id
        relation = read_parquet(connector.engine_paths([file.path for file in version.files]), version)
        select = compile_view(decision.shape, relation, key.secret)
        views.append(View(schema=dataset.space, name=dataset.name, select=select))
    ordered = tuple(access[uid] for uid in sorted(access))
    try:
        require_one_authority(ordered)
    except StorageError as error:
        raise PlanRefused("plan.authorities", error.sentence) from error
    return Plan(
        key=worker_key(principal, ordered),
        access=ordered,
        views=tuple(views),
        sources=tuple(sources),
        query=query,
        tables=statement.tables,
        decisions=tuple(decisions),
        policy_max_rows=min((d.max_rows for d in decisions if d.max_rows is not None), default=None),
        metadata=key_ids,
    )


def require_rows(decision: Decision) -> None:
    """Refuse what this engine cannot hold yet: access to aggregates only, and a number of queries a day."""
    if decision.action is Action.AGGREGATE or decision.aggregates_only:
        raise PlanRefused(
            "plan.aggregate_not_supported",
            "The policies allow aggregates only, and this gateway cannot yet hold that; nothing is run.",
            dataset=decision.dataset.sql_name,
        )
    if decision.grant.queries_per_day is not None:
        raise PlanRefused(
            "plan.quota_not_supported",
            "The policies allow a number of queries a day, and this gateway cannot yet count them; nothing is run.",
            dataset=decision.dataset.sql_name,
        )


def hashes(decision: Decision) -> bool:
    """Whether a visible column may be shown as a hash."""
    shape = decision.shape
    visible = {column.name for column in shape.columns}
    return any(
        mask.kind is MaskKind.HASH and name in visible
        for level in shape.levels
        for alternative in level.alternatives
        for name, mask in alternative.masks.items()
    )


def reached(storage: Storage, storages: Storages) -> tuple[Connector, EngineAccess]:
    """A storage's connector and what the engine needs to reach it."""
    try:
        connector = storages.connector(storage)
        return connector, connector.engine_access()
    except StorageError as error:
        raise StorageUnavailable("engine.storage", "The storage of a dataset cannot be reached.") from error


def worker_key(principal: Principal, access: Sequence[EngineAccess]) -> str:
    """Which prepared workers may serve this: the same participant, the same storages, the same keys."""
    text = "\n".join((principal.participant.uid, *(reach.fingerprint for reach in access)))
    return hashlib.sha256(text.encode()).hexdigest()


def read_parquet(paths: Sequence[str], version: Version) -> str:
    """The relation of a version's files, every option explicit: nothing is guessed from names or the first file."""
    listed = ", ".join(_literal(path) for path in paths)
    options = [
        f"hive_partitioning={_boolean(version.hive_partitioning)}",
        f"union_by_name={_boolean(version.union_by_name)}",
        "filename=false",
    ]
    partitions = [column for column in version.columns if column.partition]
    if partitions:
        options.append(f"hive_types={{{', '.join(_hive_type(column) for column in partitions)}}}")
    return f"read_parquet([{listed}], {', '.join(options)})"


def require_unchanged(sources: Sequence[Source]) -> None:
    """Refuse to serve files that differ from their version's record. Blocks on the storage.

    Raises:
        FilesChanged: some do.
        StorageUnavailable: a storage does not say.
    """
    try:
        different = [source for source in sources if changed(source.connector, source.version.files)]
    except StorageError as error:
        raise StorageUnavailable("engine.storage", "The storage of a dataset did not answer as it should.") from error
    if different:
        raise FilesChanged(different)


def _hive_type(column: Column) -> str:
    return f"{_literal(column.name)}: {column.type}"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _boolean(value: bool) -> str:
    return "true" if value else "false"
