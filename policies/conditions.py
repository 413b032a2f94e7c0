"""Conditions: what Cedar says about one `when`, told as lines and likely fixes.

Owns the reading of Cedar's error texts, which carry no positions, and the check that a condition stays one condition. Must
never let a text through that Cedar does not accept against the schema.
"""

from __future__ import annotations

import difflib
import json
import re

import cedarpy

from policies.cedar import SCHEMA, SCHEMA_TEXT, compose
from policies.errors import Problem
from policies.model import Policy

_PATH = ("when",)

_CLAIM_TAGS = 'token claims are tags: principal.hasTag("x") && principal.getTag("x").contains("y")'

_FIXES = (
    (re.compile(r"'=' is not a valid operator"), "compare with =="),
    (re.compile(r"unexpected token `and`"), "write && for and"),
    (re.compile(r"unexpected token `or`"), "write || for or"),
    (re.compile(r"unexpected token `not`"), "write ! for not"),
    (re.compile(r"optional attribute `agreement`"), "ask for it first: context has agreement && context.agreement..."),
    (
        re.compile(r"optional attribute `client_id`"),
        "ask for it first: principal has client_id && principal.client_id...",
    ),
    (re.compile(r"access to tag `\"(?P<name>[^\"]*)\"`"), 'ask for it first: principal.hasTag("{name}") && ...'),
    (re.compile(r"attribute `claims`"), _CLAIM_TAGS),
    (
        re.compile(r"AnyEntity but saw"),
        'write ["a", "b"].contains(x) for x in a list',
    ),
    (re.compile(r"expected Set<.*> but saw String"), 'turn it round: ["a", "b"].contains(x)'),
    (re.compile(r"unexpected token `}`"), "the condition ends too early"),
    (re.compile(r"invalid token"), 'text stands in double quotes: "DE"'),
    (re.compile(r"failed to parse as a datetime"), 'as in datetime("2026-01-31T00:00:00Z")'),
)

_NOT_FOUND = re.compile(r"attribute `(?P<name>[^`]+)` (?P<where>.*?) not found")
_UNKNOWN_NAME = re.compile(r"`(?P<name>\w+)` has no fields|invalid variable: (?P<variable>\w+)")
_QUOTED = re.compile(r"`([^`]+)`")
_VARIABLES = ("principal", "action", "resource", "context")
_ATTRIBUTES = sorted(set(re.findall(r"^\s+(\w+)\??:", SCHEMA_TEXT, re.MULTILINE)) | {"agreement"})


def condition_problems(policy: Policy) -> list[Problem]:
    """Everything that Cedar finds wrong with the policy's condition, each once."""
    if policy.when is None:
        return []
    text = compose(policy)
    result = cedarpy.validate_policies(text, SCHEMA)
    problems = {_plain(error.error): _problem(_plain(error.error), policy.when) for error in result.errors}
    if not problems and (not result.validation_passed or not _is_one_condition(text)):
        message = "this is not one condition"
        return [Problem(path=_PATH, message=message, hint="braces and semicolons that end it are not allowed", line=1)]
    return sorted(problems.values(), key=lambda problem: problem.line or 0)


def _is_one_condition(text: str) -> bool:
    """Whether the text is still exactly one policy with one `when`: a `}` inside must not have ended it early."""
    parsed = json.loads(cedarpy.policies_to_json_str(text))
    policies = list(parsed["staticPolicies"].values())
    return (
        len(policies) == 1
        and not parsed["templates"]
        and [condition["kind"] for condition in policies[0]["conditions"]] == ["when"]
    )


def _plain(message: str) -> str:
    """Cedar's message without its prefixes and without the action, so that the same one for each action is one."""
    message = re.sub(r"^(Policy parse error: |for policy `[^`]*`, )", "", message)
    message = re.sub(r" (for|in context for) Action::\"\w+\"", lambda found: found[0].split(" for ")[0], message)
    return re.sub(r"__cedar::internal::", "", message)


def _problem(message: str, when: str) -> Problem:
    return Problem(path=_PATH, message=message, hint=_hint(message), line=_line(message, when))


def _hint(message: str) -> str | None:
    missing = _NOT_FOUND.search(message)
    if missing and missing["name"] != "claims":
        close = difflib.get_close_matches(missing["name"], _ATTRIBUTES, n=1)
        return f"did you mean `{close[0]}`?" if close else f"there are {', '.join(_ATTRIBUTES)}"
    unknown = _UNKNOWN_NAME.search(message)
    if unknown:
        name = unknown["name"] or unknown["variable"]
        close = difflib.get_close_matches(name.lower(), _VARIABLES, n=1)
        return f"did you mean `{close[0]}`?" if close else f"a condition speaks of {', '.join(_VARIABLES)}"
    for pattern, hint in _FIXES:
        found = pattern.search(message)
        if found:
            return hint.format(**found.groupdict())
    return None


def _line(message: str, when: str) -> int:
    """The line of `when` that the message is about: the first that holds what it quotes, else the only or last one."""
    lines = when.rstrip().split("\n")
    quoted = [*_QUOTED.findall(message), *re.findall(r"'([^']+)'", message), *re.findall(r"variable: (\w+)", message)]
    for text in quoted:
        pattern = re.compile(rf"(?<![\w=!<>]){re.escape(text)}(?![\w=])")
        for number, line in enumerate(lines, 1):
            if text != "}" and pattern.search(line):
                return number
    return len(lines)
