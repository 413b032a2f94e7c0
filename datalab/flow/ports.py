"""What the flow needs from storage, as Protocols; `datalab.db` implements them, `datalab.app` wires them.

Every answer is for the revision that `Catalogue.revision` reports; implementations may remember what they read for as
long as that number stands still.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from catalog.entities import (
    Admission,
    AiFactory,
    DataLab,
    Dataset,
    DataSpace,
    Participant,
    PolicyRecord,
    Storage,
    Version,
)
from connectors.contract import Connector

if TYPE_CHECKING:
    from datalab.flow.principal import ClientIdentity

Answer = TypeVar("Answer")


class Catalogue(Protocol):
    """Reads of what is registered, by id. `None`: there is no such thing (or it was deleted)."""

    def revision(self) -> int:
        """The number of committed write transactions."""
        ...

    def ai_factory(self, id_: str) -> AiFactory | None: ...
    def data_space(self, id_: str) -> DataSpace | None: ...
    def data_lab(self, id_: str) -> DataLab | None: ...
    def participant(self, id_: str) -> Participant | None: ...
    def storage(self, id_: str) -> Storage | None: ...
    def dataset(self, space: str, name: str) -> Dataset | None: ...

    def version(self, dataset_uid: str, number: int | None = None, *, files: bool = True) -> Version | None:
        """That version, whatever its status; without a number the newest one that is published.

        files False: `files` is empty. Whoever may turn out not to discover the dataset must not have its files read: the
        time it takes would tell that it exists.
        """
        ...

    def admissions(self, participant: str) -> tuple[Admission, ...]:
        """The data spaces that admitted this participant, and as what."""
        ...

    def policy_scopes(self) -> tuple[str, ...]:
        """The scopes above single datasets at which policies are in force."""
        ...

    def policies(self, scope: str) -> tuple[PolicyRecord, ...]:
        """The policies in force at exactly this scope, e.g. `space:health`, `dataset:health/cohort`."""
        ...


class ConsistentCatalogue(Catalogue, Protocol):
    """A catalogue that can hold still: decisions that read several things ask it for one revision."""

    def prefetch(self, datasets: Sequence[Dataset]) -> None:
        """Reads at once, as far as it is not remembered, what decisions on these datasets will ask for one by one."""
        ...

    def consistently(self, work: Callable[[Catalogue], Answer]) -> Answer:
        """Runs `work` (which must be repeatable) on a catalogue of one revision, the newest at its start.

        Without it a write between two reads could pair yesterday's policies with today's dataset.
        """
        ...


class Identities(Protocol):
    """Who was given credentials here, and what was revoked since; no answer is older than the given revision."""

    def client(self, client_id: str, *, revision: int) -> ClientIdentity | None:
        """A client of our own authorization server; None: there never was one of that id."""
        ...

    def is_revoked(self, issuer: str, token_id: str, *, revision: int) -> bool: ...


class Storages(Protocol):
    """How a registered storage is reached: its credentials are opened here and nowhere else."""

    def connector(self, storage: Storage) -> Connector:
        """The connector of this storage, as it is registered now; safe to keep for one request.

        Raises:
            connectors.errors.StorageError: its address is refused or its credentials cannot be opened.
        """
        ...
