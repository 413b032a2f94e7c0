"""What a registered value must satisfy by itself, whatever else is registered: that its document would be accepted.

`catalog.documents` holds the rules; this asks them for values that did not come from a document. Must never read storage.
"""

from __future__ import annotations

from typing import Any

from catalog import entities
from catalog.documents import Document
from datalab.registry.writes import plain


def check(document: type[Document[Any]], entity: entities.Resource) -> None:
    """Raises DocumentRefused (`catalog.document`) with everything that is wrong with the value."""
    values = plain(entity)
    assert isinstance(values, dict)
    document.parse({name: values[name] for name in document.model_fields if name in values})
