"""The statement stage: SQL text -> Statement, the one SELECT and the datasets it names. The first of two gates.

Owns what a statement may look like before anything is decided or bound: one SELECT, bounded in size and depth, datasets
by two-part names, functions from the allow-list. Must never run, rewrite or splice SQL, and must refuse what it does
not know; the engine's own parser repeats the verdict in the worker (`parse.py`) and both have to agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from datalab.flow.errors import StatementRefused
from datalab.flow.functions import load
from datalab.flow.sql.calls import called_names, require_one_select
from datalab.flow.sql.dialect import Limits, Token, parse_tree, tokenize
from datalab.flow.sql.names import DatasetName
from datalab.flow.sql.scope import survey

__all__ = ["DatasetName", "Limits", "Statement", "parse", "require_parameters"]

# Longer statements are parsed each time, so that the memory of this cache stays within a few megabytes.
_REMEMBERED_CHARS = 4096
_REMEMBERED_STATEMENTS = 1024


@dataclass(frozen=True, slots=True)
class Statement:
    """One SELECT that passed the first gate.

    sql: the caller's text, unchanged. datasets: sorted, each once. functions: folded names of all calls as written, and
    of words that look like one; what operators and syntax call is not among them. parameters: the names of placeholders,
    `"1"`, `"2"` ... for `?` and `$1`, else `"name"` for `$name`.
    """

    sql: str
    datasets: tuple[DatasetName, ...]
    functions: frozenset[str]
    parameters: frozenset[str]

    @property
    def tables(self) -> frozenset[tuple[str, str, str]]:
        """The datasets as the engine must see them: (catalogue, schema, name), the catalogue empty for local ones."""
        return frozenset((name.peer or "", name.space, name.name) for name in self.datasets)


def parse(sql: str, *, limits: Limits = Limits()) -> Statement:  # noqa: B008 - a frozen value
    """The statement that `sql` is, or StatementRefused (`statement.*`) saying what is wrong with it.

    Time and memory are bounded by `limits`; nothing is looked up, so a dataset that is named need not exist.
    """
    if len(sql) <= _REMEMBERED_CHARS:
        return _remembered(sql, limits)
    return _parse(sql, limits)


@lru_cache(maxsize=_REMEMBERED_STATEMENTS)
def _remembered(sql: str, limits: Limits) -> Statement:
    return _parse(sql, limits)


def _parse(sql: str, limits: Limits) -> Statement:
    tokens: list[Token] = tokenize(sql, limits)
    tokens = require_one_select(tokens)
    catalogue = load()
    called = called_names(tokens)
    try:
        found = survey(parse_tree(tokens, sql))
    except StatementRefused:
        for name in sorted(called & catalogue.refused.keys() - catalogue.expressions - catalogue.relations):
            catalogue.refuse(name, relation=False)  # the better reason
        raise
    functions = (called - found.aliases) | found.functions
    for name in sorted(functions - catalogue.expressions - catalogue.relations):
        catalogue.refuse(name, relation=False)
    return Statement(
        sql=sql,
        datasets=tuple(sorted(found.datasets)),
        functions=functions,
        parameters=found.parameters,
    )


def require_parameters(statement: Statement, params: Sequence[object] | Mapping[str, object]) -> None:
    """Refuse (`statement.parameters`) unless `params` has a value for each placeholder and no other."""
    given = set(params) if isinstance(params, Mapping) else {str(n) for n in range(1, len(params) + 1)}
    if given == statement.parameters:
        return
    missing = sorted(statement.parameters - given)
    surplus = sorted(str(name)[:63] for name in given - statement.parameters)
    parts = []
    if missing:
        parts.append(f"no value is given for {', '.join('$' + name for name in missing)}")
    if surplus:
        parts.append(f"nothing in the statement takes {', '.join('$' + name for name in surplus)}")
    raise StatementRefused(
        "statement.parameters",
        f"The parameters do not fit the statement: {' and '.join(parts)}.",
        missing=missing,
        surplus=surplus,
    )
