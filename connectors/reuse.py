"""Connectors kept open between queries: their connections and certificates cost more than most reads.

Owns the memory, by storage and revision. Must never serve a connector of an older record: new keys or another place come with
a new revision.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from catalog.entities import Storage
from connectors.contract import Connector

_MOST: Final = 256


class OpenConnectors:
    """connect: opens one; called without a lock held, so two threads may open the same storage and one result is kept.

    A connector that is pushed out may still be in use: it is let go, not closed, and frees what it holds when its last
    user drops it.
    """

    def __init__(self, connect: Callable[[Storage], Connector], *, most: int = _MOST) -> None:
        self._connect = connect
        self._most = most
        self._lock = threading.Lock()
        self._open: OrderedDict[str, tuple[int, Connector]] = OrderedDict()

    def connector(self, storage: Storage) -> Connector:
        """The connector of this revision of the storage. Raises what `connect` raises. Do not close it."""
        with self._lock:
            known = self._open.get(storage.uid)
            if known is not None and known[0] == storage.revision:
                self._open.move_to_end(storage.uid)
                return known[1]
        opened = self._connect(storage)
        with self._lock:
            known = self._open.get(storage.uid)
            if known is None or known[0] < storage.revision:
                self._open[storage.uid] = (storage.revision, opened)
                self._open.move_to_end(storage.uid)
                while len(self._open) > self._most:
                    self._open.popitem(last=False)
        return opened
