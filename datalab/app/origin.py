"""The four packages of the distribution come from one place, or nothing starts.

Owns that check. `connectors`, `catalog` and `policies` are common names: another distribution's package of that name on the
path would silently take the place of ours, policies included.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("datalab", "connectors", "catalog", "policies")


class OriginRefused(Exception):
    """The message names the packages and where each was found."""


def require_one_origin() -> None:
    """Raises OriginRefused unless all four packages lie in the same directory."""
    places = {name: _place(name) for name in PACKAGES}
    if len(set(places.values())) != 1 or None in places.values():
        found = ", ".join(f"{name} from {place or 'nowhere'}" for name, place in places.items())
        raise OriginRefused(f"The parts of datalab do not come from the same place: {found}.")


def _place(name: str) -> Path | None:
    spec = find_spec(name)
    return Path(spec.origin).resolve().parent.parent if spec is not None and spec.origin else None
