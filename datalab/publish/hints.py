"""What a column's name and type suggest: that it names the entity, that it concerns persons, and why we think so.

Owns the guesses of `datalab register`. They are for a person to confirm: must never decide who sees what.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from catalog.entities import Column, PersonalData


class Weight(IntEnum):
    """How much a column says about a person, least first."""

    ATTRIBUTE = 1  # says something only beside an identifier
    PSEUDONYM = 2  # stands for a person
    DIRECT = 3  # names, finds or calls a person
    SPECIAL = 4  # Regulation (EU) 2016/679, art. 9


@dataclass(frozen=True, slots=True)
class Hint:
    """reason: the end of the sentence "this column ...". role: the column role it suggests."""

    column: str
    weight: Weight
    reason: str
    role: str | None = None


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    weight: Weight
    reason: str
    role: str | None = None


def _rule(words: str, weight: Weight, reason: str, role: str | None = None) -> _Rule:
    return _Rule(re.compile(rf"(^|_)({words})($|_)"), weight, reason, role)


_RULES: Final = (
    _rule(
        "pid|patient|patient_?id|patient_?nr|person_?id|person_?nr|person|subject_?id|participant_?id|insured_?id|customer_?id|"
        "user_?id|member_?id|employee_?id|student_?id|client_?id|respondent(_?id)?|case_?id|rinpersoon",
        Weight.PSEUDONYM, "is called like an identifier of persons", "person_id",
    ),
    _rule(
        "ssn|social_security|national_?id|nin|bsn|nir|cpr|pesel|dni|nif|codice_fiscale|passport|passport_?(no|number)|"
        "tax_?id|steuer_?id|insurance_?(no|number)|id_?card|personnummer|health_?card",
        Weight.DIRECT, "is called like an official number of persons",
    ),
    _rule(
        "first_?name|last_?name|full_?name|given_?name|family_?name|middle_?name|surname|forename|vorname|nachname|nom|prenom|"
        "apellido|cognome|name|author|artist|owner",
        Weight.DIRECT, "is called like the name of persons",
    ),
    _rule("e_?mail|mail|email_?address", Weight.DIRECT, "is called like an e-mail address"),
    _rule("phone|telephone|tel|mobile|fax|telefon|msisdn", Weight.DIRECT, "is called like a telephone number"),
    _rule("iban|bic|account_?(no|number)?|card_?number|credit_?card|konto", Weight.DIRECT, "is called like a bank account"),
    _rule(
        "address|street|strasse|house_?number|postcode|postal_?code|zip|zip_?code|plz|adresse|indirizzo|rue",
        Weight.DIRECT, "is called like an address", "location",
    ),
    _rule(
        "birth|birth_?date|date_?of_?birth|dob|birth_?day|geburtsdatum|naissance|birth_?year|year_?of_?birth|geburtsjahr",
        Weight.DIRECT, "is called like a date of birth", "birth_date",
    ),
    _rule("lat|lon|lng|latitude|longitude|geom|geometry|coordinates|gps", Weight.ATTRIBUTE, "is called like a place", "location"),
    _rule("ip|ip_?address|mac_?address|imei|imsi|device_?id|cookie", Weight.DIRECT, "is called like an address of a device"),
    _rule("plate|licen[cs]e_?plate|kennzeichen|vin", Weight.DIRECT, "is called like a vehicle's registration"),
    _rule("age|alter|sex|gender|geschlecht|nationality|marital(_?status)?|income|salary|occupation|education|weight|height|bmi",
          Weight.ATTRIBUTE, "is called like a trait of persons"),
    _rule(
        "diagnosis|diagnose|icd_?(9|10|11)?|disease|disorder|symptom|treatment|therapy|medication|drug|dose|hiv|cancer|tumou?r|"
        "blood|glucose|cholesterol|pressure|pregnan(t|cy)|disability|mortality|death|died|survival|meno|biopsy|lab_?result",
        Weight.SPECIAL, "is called like data concerning health (GDPR article 9)",
    ),
    _rule("gene|genotype|genome|dna|snp|allele|variant", Weight.SPECIAL, "is called like genetic data (GDPR article 9)"),
    _rule("fingerprint|iris|face|biometric|voice", Weight.SPECIAL, "is called like biometric data (GDPR article 9)"),
    _rule("religion|faith|belief|konfession|church", Weight.SPECIAL, "is called like religion or belief (GDPR article 9)"),
    _rule("ethnic|ethnicity|race|racial", Weight.SPECIAL, "is called like racial or ethnic origin (GDPR article 9)"),
    _rule("politic(s|al)?|party|vote|voted", Weight.SPECIAL, "is called like political opinion (GDPR article 9)"),
    _rule("union|trade_?union", Weight.SPECIAL, "is called like trade-union membership (GDPR article 9)"),
    _rule("sexual|orientation", Weight.SPECIAL, "is called like sexual orientation (GDPR article 9)"),
)  # fmt: skip
_ENTITY: Final = re.compile(r"(^|_)(id|uid|uuid|key|code|nr|no|number|pid|identifier)$|^(id|uid|pid)(_|$)")
_KEYS: Final = re.compile(r"(INTEGER|BIGINT|SMALLINT|UINTEGER|UBIGINT|HUGEINT|VARCHAR|UUID)")


def hint(column: Column) -> Hint | None:
    """What the column's name suggests about persons; the weightiest rule wins."""
    words = plain(column.name)
    found = [rule for rule in _RULES if rule.pattern.search(words)]
    if not found:
        return None
    best = max(found, key=lambda rule: rule.weight)
    role = next((rule.role for rule in found if rule.role is not None), None)
    return Hint(column.name, best.weight, best.reason, role)


def entity(columns: Sequence[Column], hints: Sequence[Hint]) -> str | None:
    """The column that most likely tells which entity a row is about: persons' identifier first, else the first that ends
    in a word such as `id`, of a type that identifiers have.
    """
    types = {column.name: column.type for column in columns}
    persons = [one.column for one in hints if one.role == "person_id"]
    others = [column.name for column in columns if not column.partition and _ENTITY.search(plain(column.name))]
    return next((name for name in (*persons, *others) if _KEYS.fullmatch(types[name])), None)


def personal_data(hints: Sequence[Hint]) -> PersonalData:
    """The class that the hints together suggest: special only where something also stands for or names persons."""
    weights = {one.weight for one in hints}
    about_persons = bool(weights & {Weight.PSEUDONYM, Weight.DIRECT})
    if Weight.SPECIAL in weights and (about_persons or Weight.ATTRIBUTE in weights):
        return PersonalData.SPECIAL
    if Weight.DIRECT in weights:
        return PersonalData.PERSONAL
    return PersonalData.PSEUDONYMISED if Weight.PSEUDONYM in weights else PersonalData.NONE


def plain(name: str) -> str:
    """`Patient-ID`, `patientId` and `PATIENT ID` as `patient_id`; letters without accents."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    bare = unicodedata.normalize("NFKD", apart.replace("ß", "ss")).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", bare.lower()).strip("_")
