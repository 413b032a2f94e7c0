"""What a caller may find: datasets one by one and in pages, through the decision that holds on every exit.

Owns the filling of a page with what is visible. Must never let a dataset that the caller may not discover count, delay a
cursor's meaning, or differ from one that does not exist.
"""

from __future__ import annotations

from catalog.entities import Dataset
from datalab.flow.decision import Decider, Sight
from datalab.flow.ports import ConsistentCatalogue
from datalab.flow.principal import Principal
from datalab.registry.ports import DatasetFilter, Page, Store
from datalab.registry.writes import audience_of

CHUNK = 200
"""How many candidates are read at once where the first page of them did not suffice: storage narrows them to what policies
may open, the decision has the last word.
"""


class Discovery:
    def __init__(self, store: Store, catalogue: ConsistentCatalogue, decider: Decider) -> None:
        self._store = store
        self._catalogue = catalogue
        self._decider = decider

    def find(self, principal: Principal, space: str, name: str, *, version: int | None = None) -> Sight:
        """Raises DatasetUnknown (`decision.not_found`), whether the dataset is hidden or absent."""
        return self._decider.sight(principal, space, name, version=version)

    def page(self, principal: Principal, page: Page, where: DatasetFilter) -> tuple[Dataset, ...]:
        """Up to `page.limit` datasets that this caller may discover, in the order of `space/name`."""
        audience = audience_of(principal)
        reach = self._decider.reach(principal)
        found: list[Dataset] = []
        chunk = page
        while True:
            candidates = self._store.lists.datasets(chunk, audience, where, reach)
            if audience.everything:
                found += candidates
            else:
                self._catalogue.prefetch(candidates)
                found += self._decider.discoverable(principal, candidates)
            if len(found) >= page.limit or len(candidates) < chunk.limit:
                return tuple(found[: page.limit])
            chunk = Page(after=candidates[-1].key, limit=max(page.limit, CHUNK))
