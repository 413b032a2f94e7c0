"""PATCH by JSON Merge Patch (RFC 7396): the members that are sent replace, null removes, the rest stays.

Owns the merge. The result is parsed as if it had been sent whole. Must never let a patch rename a thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from fastapi import Body

from catalog import entities
from catalog.documents import Document
from datalab.api.bodies import shown
from datalab.registry.errors import Conflict

Patch = Annotated[dict[str, Any], Body(media_type="application/merge-patch+json", description="RFC 7396")]
Form = TypeVar("Form", bound=Document[Any])


def patched(
    form: type[Form], found: entities.Resource, patch: Mapping[str, Any], *, fixed: tuple[str, ...] = ("id",)
) -> Form:
    """The document after the patch. found: its present state. fixed: members that cannot change.

    Raises Conflict for a changed fixed member, DocumentRefused for what the document does not take.
    """
    before = shown(form, found).plain()
    after = merged(before, patch)
    for name in fixed:
        if after.get(name) != before.get(name):
            raise Conflict("registry.fixed", "This cannot be changed.", field=name)
    return form.parse(after)


def merged(target: object, patch: object) -> Any:
    """RFC 7396 section 2."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result
