"""Publishing wired: versions and their jobs over a home's database, and what happens when a query finds a version broken.

Owns which limits an inspector gets. Must never hold a rule.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from connectors.contract import changed
from connectors.errors import StorageError
from datalab.app.foundation import Foundation
from datalab.app.places import Places
from datalab.db.jobs import SqlJobs
from datalab.db.publishing import SqlVersions
from datalab.flow.plan import Source
from datalab.publish.jobs import Jobs
from datalab.publish.process import Limits
from datalab.publish.versions import Versions

log = logging.getLogger(__name__)


def versions_of(base: Foundation, places: Places) -> Versions:
    limits = Limits(require_landlock=base.settings.engine.require_landlock, temp_root=str(base.home.temp))
    base.home.temp.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Versions(SqlVersions(base.database), base.catalogue, places, base.journal, clock=base.clock, limits=limits)


@contextmanager
def jobs_of(base: Foundation) -> Iterator[Jobs]:
    """Jobs, for as long as the block runs; its end waits for those that are running."""
    jobs = Jobs(SqlJobs(base.database), clock=base.clock)
    jobs.open()
    try:
        yield jobs
    finally:
        jobs.close()


def told_broken(versions: Versions) -> Callable[[Source], None]:
    """Marks the version behind a query's source as broken, with the paths that differ, if the storage still tells."""

    def tell(source: Source) -> None:
        try:
            paths = changed(source.connector, source.version.files)
        except StorageError:
            paths = []
        space, _, name = source.dataset.partition(".")
        versions.mark_broken(space, name, source.version.number, paths)

    return tell
