"""The words that documents use from standards: countries, languages, licences, themes, addresses.

Owns each check and the hint for the usual slip. Must never look anything up outside this package.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from catalog.errors import ValueRefused
from catalog.yaml import load

_HERE = Path(__file__).parent

_COUNTRY_HINTS = {"EL": "GR", "UK": "GB"}
"""What the EU institutions write for Greece and the United Kingdom, and what the standard says."""

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?")
_LANGUAGE_HINTS = {"cz": "cs", "dk": "da", "gr": "el", "jp": "ja", "cn": "zh", "ua": "uk"}
"""Country codes that are taken for languages and are no language codes of their own."""

THEMES = frozenset(
    [
        "AGRI",
        "ECON",
        "EDUC",
        "ENER",
        "ENVI",
        "GOVE",
        "HEAL",
        "INTR",
        "JUST",
        "OP_DATPRO",
        "REGI",
        "SOCI",
        "TECH",
        "TRAN",
    ],
)
"""Codes of the EU's data-theme authority table, http://publications.europa.eu/resource/authority/data-theme."""

_MAIL = re.compile(r"[^@\s]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}")


@cache
def countries() -> Mapping[str, str]:
    """English names by ISO 3166-1 alpha-2 code."""
    file = _HERE / "entries" / "countries.yaml"
    (document,) = load(file.read_bytes(), file=file.name)
    assert isinstance(document.value, dict)
    return {str(code): str(name) for code, name in document.value.items()}


@cache
def licences() -> Mapping[str, str]:
    """SPDX licence identifiers by their lower-case form (SPDX compares them without case)."""
    lines = (_HERE / "spdx.txt").read_text(encoding="utf-8").splitlines()
    return {line.lower(): line for line in lines if line and not line.startswith("#")}


def check_country(value: str) -> str:
    """The value itself if it is an ISO 3166-1 alpha-2 code (or XK); raises ValueRefused otherwise."""
    if value in countries():
        return value
    code = value.upper()
    hint = _COUNTRY_HINTS.get(code) or (code if code in countries() else _closest_country(value))
    raise ValueRefused(f"{_shown(value)} is no ISO 3166-1 alpha-2 country code{f': use {hint}' if hint else ''}.")


def check_language(value: str) -> str:
    """The value itself if it has the form of a BCP 47 tag (language, script, region); raises ValueRefused otherwise."""
    if value in _LANGUAGE_HINTS:
        raise ValueRefused(f"`{value}` is a country's code, not a language's: use `{_LANGUAGE_HINTS[value]}`.")
    if _LANGUAGE.fullmatch(value):
        return value
    raise ValueRefused(f"{_shown(value)} is no language tag, such as `en` or `pt-BR` (BCP 47).")


def check_theme(value: str) -> str:
    """The value itself if it is a code of the EU's data themes; raises ValueRefused otherwise."""
    if value in THEMES:
        return value
    raise ValueRefused(f"{_shown(value)} is no EU data theme: one of {', '.join(sorted(THEMES))}.")


def check_licence(value: str) -> str:
    """The licence as SPDX spells it, or the address of its text; raises ValueRefused otherwise.

    Accepts one identifier of the SPDX list in any case, `LicenseRef-...`, several joined by AND or OR, or an http(s) address.
    """
    if "://" in value:
        return check_url(value)
    words = value.split(" ")
    if len(words) % 2 == 0 or any(word not in {"AND", "OR"} for word in words[1::2]):
        raise ValueRefused(_licence_sentence(value))
    return " ".join(word if index % 2 else _licence(word, value) for index, word in enumerate(words))


def _licence(word: str, whole: str) -> str:
    if re.fullmatch(r"LicenseRef-[A-Za-z0-9.-]+", word):
        return word
    if word.lower() not in licences():
        raise ValueRefused(_licence_sentence(whole))
    return licences()[word.lower()]


def _licence_sentence(value: str) -> str:
    key = re.sub(r"[\s_]+", "-", value.strip().lower())
    close = difflib.get_close_matches(key, licences(), n=1, cutoff=0.6)
    hint = f"; did you mean {licences()[close[0]]}?" if close else "."
    return f"{_shown(value)} is neither an SPDX licence identifier nor an address{hint}"


def check_url(value: str) -> str:
    """The value itself if it is an absolute http(s) address without credentials; raises ValueRefused otherwise."""
    refused = ValueRefused("This is no address of the form https://host/path.")
    if len(value) > 2000 or any(character.isspace() for character in value) or not value.isprintable():
        raise refused
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise refused from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0 or "@" in parts.netloc:
        raise refused
    return value


def check_mail(value: str) -> str:
    """The value itself if it looks like an e-mail address; raises ValueRefused otherwise."""
    if _MAIL.fullmatch(value):
        return value
    raise ValueRefused("This is no e-mail address.")


def check_line(value: str) -> str:
    """The value itself if it is one line with something on it; raises ValueRefused otherwise."""
    if not value.strip():
        raise ValueRefused("This must not be empty.")
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in value):
        raise ValueRefused("This must be one line without control characters.")
    return value


def check_prose(value: str) -> str:
    """The value itself if it is text of one or more lines; raises ValueRefused otherwise."""
    check_line(re.sub(r"[\n\t]", " ", value))
    return value


def _closest_country(value: str) -> str | None:
    by_name = {name.lower(): code for code, name in countries().items()}
    close = difflib.get_close_matches(value.lower(), by_name, n=1, cutoff=0.8)
    return by_name[close[0]] if close else None


def _shown(value: str) -> str:
    """A short quotation: what was written is a code or a name, never a secret."""
    return f"`{value[:40]}`" if value.isprintable() else "This"
