"""The refusals of the clients' administration. What the token endpoint answers is RFC 6749's and lives in `server.py`.

    OAuthError               .code "oauth.slug", .sentence, .detail (JSON-able, safe to show)
    +- ClientUnknown         oauth.not_found    absent, and not visible to the caller, look the same
    +- ClientRefused         oauth.forbidden    the caller may not do this to this participant's clients
    +- ClientInvalid         oauth.invalid      .detail["problems"]: [{"field", "problem"}]
    +- ClientConflict        oauth.*            too_many_secrets, last_operator

Must never carry a secret or a token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class OAuthError(Exception):
    """Base of all. code: stable `oauth.slug`; sentence: plain English, what is wrong and what to do."""

    def __init__(self, code: str, sentence: str, **detail: object) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.detail: Mapping[str, object] = detail


class ClientUnknown(OAuthError):
    def __init__(self) -> None:
        super().__init__("oauth.not_found", "There is no such participant or client here, or you may not see it.")


class ClientRefused(OAuthError):
    def __init__(self, sentence: str) -> None:
        super().__init__("oauth.forbidden", sentence)


class ClientInvalid(OAuthError):
    """problems: (field, what is wrong with it)."""

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        listed = [{"field": field, "problem": problem} for field, problem in problems]
        super().__init__("oauth.invalid", "The client is not valid; see `problems`.", problems=listed)


class ClientConflict(OAuthError):
    pass
