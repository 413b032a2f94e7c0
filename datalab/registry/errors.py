"""The registry's refusals.

    RegistryError            .code "registry.slug", .sentence, .detail (JSON-able, safe to show)
    +- NotFound              registry.not_found    absent, and not visible to the caller, look the same
    +- NotAllowed            registry.forbidden    the caller may see it but not change it
    +- Invalid               registry.invalid      .detail["problems"]: [{"field", "problem"}]
    +- Conflict              registry.*            name_taken, in_use, status, reference, conflict
    +- Stale                 registry.stale        it changed since the caller read it
    +- Unavailable           registry.unavailable  the database did not take the write: our fault, nothing was changed

Must never name a thing that the caller may not see.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class RegistryError(Exception):
    """Base of all. code: stable `registry.slug`; sentence: plain English, what is wrong and what to do."""

    def __init__(self, code: str, sentence: str, **detail: object) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.detail: Mapping[str, object] = detail


class NotFound(RegistryError):
    def __init__(self) -> None:
        super().__init__("registry.not_found", "There is no such thing here, or you may not see it.")


class NotAllowed(RegistryError):
    def __init__(self, sentence: str = "You may see this but not change it.") -> None:
        super().__init__("registry.forbidden", sentence)


class Invalid(RegistryError):
    """problems: (field, what is wrong with it); field is a path with dots, as in the JSON form."""

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        listed = [{"field": field, "problem": problem} for field, problem in problems]
        super().__init__("registry.invalid", "The document is not valid; see `problems`.", problems=listed)


class Conflict(RegistryError):
    pass


class Stale(RegistryError):
    def __init__(self) -> None:
        super().__init__("registry.stale", "It changed since you read it: read it again and repeat your change.")


class Unavailable(RegistryError):
    def __init__(self) -> None:
        super().__init__("registry.unavailable", "The change could not be stored now; nothing was changed. Try again.")
