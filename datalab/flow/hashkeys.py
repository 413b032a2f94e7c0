"""Keys of the `hash` mask: one per dataset, derived from the gateway's master key (HKDF, RFC 5869).

The same value hashes alike within a dataset and differently in any other. Must never leave the gateway but inside a plan.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


@dataclass(frozen=True, slots=True)
class HashKey:
    """id: shown in a result's schema metadata, so that a reader knows which hashes can be compared."""

    id: str
    secret: bytes = field(repr=False)


class HashKeys:
    """master: 32 random bytes; id: which master key this is."""

    def __init__(self, master: bytes, id_: str = "1") -> None:
        if len(master) != 32:
            raise ValueError("the hash master key has 32 bytes")
        self._master = master
        self._id = id_

    def of(self, dataset_uid: str) -> HashKey:
        derive = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=f"datalab hash mask {dataset_uid}".encode())
        return HashKey(f"{self._id}:{dataset_uid}", derive.derive(self._master))
