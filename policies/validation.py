"""Validation at write time: everything that is wrong with a document, before it is in force.

Owns the questions put to Cedar about one condition, and what a policy means for a dataset at hand. Must never evaluate a
policy: that is `decide`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.bind import unmet
from policies.conditions import condition_problems
from policies.documents import parse
from policies.errors import PolicyInvalid, Problem
from policies.inputs import DatasetInput
from policies.model import Policy


def validate(document: Mapping[str, Any] | Policy, dataset: DatasetInput | None = None) -> list[Problem]:
    """What is wrong with a document; empty if it can be in force.

    dataset: facts of a dataset in its scope; what its columns, types and roles lack to satisfy the obligations are problems
    too, as they would make the permit void.
    """
    try:
        policy = document if isinstance(document, Policy) else parse(document)
    except PolicyInvalid as invalid:
        return list(invalid.problems)
    problems = condition_problems(policy)
    if dataset is not None and dataset.columns is not None:
        problems += [Problem(path=("obligations", *path), message=message) for path, message in unmet(policy, dataset)]
    return problems


def checked(document: Mapping[str, Any]) -> Policy:
    """The policy that a valid document says; PolicyInvalid with every problem otherwise."""
    policy = parse(document)
    problems = validate(policy)
    if problems:
        raise PolicyInvalid(problems)
    return policy
