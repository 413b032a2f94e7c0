"""What pydantic found, in our sentences: what is wrong, where, and the likely fix.

Must never quote a refused value: it may be a secret in the wrong field.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from catalog.errors import Problem

_SENTENCES: Mapping[str, str] = {
    "missing": "This field is required.",
    "bool_type": "This must be true or false.",
    "string_type": "This must be text.",
    "int_type": "This must be a whole number.",
    "dict_type": "This must be a mapping of names to values.",
    "model_type": "This must be a mapping of fields to values.",
    "tuple_type": "This must be a list.",
    "list_type": "This must be a list.",
}


def problems_of(error: ValidationError, model: type[BaseModel]) -> tuple[Problem, ...]:
    """Everything that the error tells, in the order of the document's fields. model: the form that refused it."""
    found = error.errors(include_url=False, include_context=True, include_input=False)
    return tuple(Problem(_path(item["loc"]), _sentence(item, model)) for item in found)


def _path(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Pydantic marks a refused key of a mapping with a last step that is no key."""
    return tuple(step for step in loc if step != "[key]")


def _sentence(item: Any, model: type[BaseModel]) -> str:
    kind = str(item["type"])
    context: Mapping[str, Any] = item.get("ctx", {})
    match kind:
        case "catalog" | "value_error":
            return str(item["msg"]).removeprefix("Value error, ")
        case "extra_forbidden":
            return _unknown(item["loc"], model)
        case "enum":
            return f"This must be one of {_listed(str(context['expected']))}."
        case "string_too_long" | "too_long":
            return f"This is longer than {context['max_length']}."
        case "string_too_short" | "too_short":
            return "This must not be empty."
    return _SENTENCES.get(kind, "This has the wrong type.")


def _listed(expected: str) -> str:
    return expected.replace("'", "").replace(" or ", ", ")


def _unknown(loc: tuple[str | int, ...], model: type[BaseModel]) -> str:
    field = str(loc[-1])
    known = list(model.model_fields) if len(loc) == 1 else []
    close = difflib.get_close_matches(field, known, n=1)
    return f"There is no such field; did you mean `{close[0]}`?" if close else "There is no such field."
