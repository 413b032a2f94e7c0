"""PATCH by JSON Merge Patch (RFC 7396): the members that are sent replace, null removes, the rest stays.

Owns the merge. The result is validated as if it had been sent whole. Must never let a patch rename a thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Body
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from datalab.api.bodies import Form, FormType
from datalab.registry.errors import Conflict

Patch = Annotated[dict[str, Any], Body(media_type="application/merge-patch+json", description="RFC 7396")]


def patched(form: type[FormType], now: Form, patch: Mapping[str, Any], *, fixed: tuple[str, ...] = ("id",)) -> FormType:
    """The form after the patch. now: its present state. fixed: members that cannot change.

    Raises Conflict for a changed fixed member, RequestValidationError for what the form does not take.
    """
    before = now.model_dump(mode="json", include=set(form.model_fields))
    after = merged(before, patch)
    for name in fixed:
        if name in patch and after.get(name) != before.get(name):
            raise Conflict("registry.fixed", "This cannot be changed.", field=name)
    try:
        return form.model_validate(after)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        located = [{**one, "loc": ("body", *one["loc"])} for one in found]
        raise RequestValidationError(located) from None


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
