"""The whole gateway put together: from settings and a home to the application that is served.

Owns which part gets which. Each part's own wiring has a file of its own beside this one; here they meet. Must never hold a
rule.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path

import duckdb_extension_httpfs
from fastapi import FastAPI

from connectors.reuse import OpenConnectors
from datalab.api.app import create_api
from datalab.api.services import Services
from datalab.app.check import confinement_problems
from datalab.app.checkpoints import Checkpointer
from datalab.app.foundation import Foundation, now, open_foundation
from datalab.app.home import Home
from datalab.app.identity import Identity, build_identity
from datalab.app.places import Places, sealer, storage_rules
from datalab.app.publishing import jobs_of, told_broken, versions_of
from datalab.app.settings import Settings, SettingsRefused
from datalab.db.audit_reads import SqlTrail
from datalab.db.operators import OperatedSpaces
from datalab.flow.decision import Decider
from datalab.flow.engine import Engine
from datalab.flow.hashkeys import HashKeys
from datalab.flow.inquiry import Inquiry
from datalab.flow.jwks import Clock
from datalab.flow.pool import EngineOptions, Pool
from datalab.flow.run import Flow
from datalab.flow.statement import Limits
from datalab.publish.jobs import Jobs
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


@contextmanager
def open_gateway(home: Home, settings: Settings, *, public_url: str, clock: Clock = now) -> Iterator[FastAPI]:
    """The application, for as long as the block runs. public_url: the origin by which clients reach it.

    Workers start with the application's lifespan, because they belong to its event loop. Raises HomeRefused and
    SettingsRefused.
    """
    if problems := confinement_problems(settings):
        raise SettingsRefused(problems)
    with open_foundation(home, settings, clock=clock) as base, _checkpoints(base), jobs_of(base) as jobs:
        identity = build_identity(
            settings,
            base.keys,
            public_url=public_url,
            database=base.database,
            catalogue=base.catalogue,
            journal=base.journal,
            clock=clock,
        )
        pool = Pool(engine_options(home, settings))
        api = create_api(_services(base, identity, pool, jobs), max_body_bytes=settings.server.max_body_bytes)
        api.router.lifespan_context = _lifespan(pool)
        yield api


def engine_options(home: Home, settings: Settings) -> EngineOptions:
    """The engine's limits, and where its extension and its temporary files are."""
    engine = settings.engine
    package = Path(duckdb_extension_httpfs.__path__[0])
    return EngineOptions(
        httpfs=str(next(package.rglob("httpfs.duckdb_extension"))),
        temp_root=str(home.temp),
        active=engine.active,
        queued=engine.queued,
        warm=engine.warm,
        spares=engine.spares,
        threads=engine.threads,
        memory_bytes=engine.memory_bytes,
        duckdb_memory_bytes=engine.duckdb_memory_bytes,
        spill_bytes=engine.spill_bytes,
        timeout_s=engine.timeout_s,
        idle_stream_timeout_s=settings.stream.idle_timeout_s,
        require_landlock=engine.require_landlock,
    )


def _lifespan(pool: Pool) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def run(_api: FastAPI) -> AsyncIterator[None]:
        await pool.open()
        try:
            yield
        finally:
            await pool.close()

    return run


def _services(base: Foundation, identity: Identity, pool: Pool, jobs: Jobs) -> Services:
    keys = sealer(base.keys)
    places = Places(storage_rules(base.home, base.settings.storage), keys, base.database)
    versions = versions_of(base, places)
    decider = Decider(base.catalogue, clock=base.clock)
    flow = Flow(
        catalogue=base.catalogue,
        decider=decider,
        storages=OpenConnectors(places.connect),
        keys=HashKeys(base.keys.hash),
        engine=Engine(pool),
        journal=base.journal,
        limits=Limits(max_chars=base.settings.statement.max_length),
        broken=told_broken(versions),
    )
    return Services(
        authentication=identity.authentication,
        authorization=identity.authorization,
        clients=identity.clients,
        catalogue=base.catalogue,
        participants=Participants(base.registrar, base.catalogue),
        ai_factories=AiFactories(base.registrar, base.catalogue),
        data_spaces=DataSpaces(base.registrar, base.catalogue),
        data_labs=DataLabs(base.registrar, base.catalogue),
        admissions=Admissions(base.registrar, base.catalogue),
        storages=Storages(base.registrar, base.catalogue, keys, places.screen),
        datasets=Datasets(base.registrar, base.catalogue),
        discovery=Discovery(base.store, base.catalogue, decider),
        policies=Policies(base.registrar),
        preview=Preview(base.store, base.catalogue, decider),
        versions=versions,
        jobs=jobs,
        flow=flow,
        inquiry=Inquiry(SqlTrail(base.engines.audit), base.journal, OperatedSpaces(base.database)),
        ready=lambda: base.database.revision() >= 0,
    )


@contextmanager
def _checkpoints(base: Foundation) -> Iterator[None]:
    """Signed heads of the trail, as long as the block runs."""
    checkpointer = Checkpointer(
        base.checkpoints,
        SqlTrail(base.engines.audit),
        base.journal,
        clock=base.clock,
        interval_s=base.settings.audit.checkpoint_interval_s,
    )
    checkpointer.start()
    try:
        yield
    finally:
        checkpointer.stop()
