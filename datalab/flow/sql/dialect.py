"""sqlglot as the first gate needs it: DuckDB's dialect, bounded in size and depth, failing as refusals only.

Owns the limits on text and the two calls into sqlglot (tokens, tree). Must never let an exception of the parser, its
recursion or its log lines (which quote statements) escape.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ParseError, SqlglotError, TokenError
from sqlglot.tokens import Token, TokenType

from datalab.flow.errors import StatementRefused

__all__ = ["Limits", "Token", "Tree", "parse_tree", "tokenize"]

Tree: TypeAlias = exp.Expr

# Its warnings quote the statement, literals included.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL + 1)

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff]")
_OPENING = frozenset({TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE})
_CLOSING = frozenset({TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE})
_DIALECT = DuckDB()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a statement may measure. They bound the time of parsing, which grows with the number of tokens.

    max_nesting: brackets of all kinds open at once.
    """

    max_chars: int = 50_000
    max_tokens: int = 10_000
    max_nesting: int = 32


def tokenize(sql: str, limits: Limits) -> list[Token]:
    """The tokens of `sql`, comments left out; linear in its length. Refuses by `statement.too_long`,
    `statement.too_deep`, `statement.encoding`, `statement.syntax`.
    """
    if len(sql) > limits.max_chars:
        _refuse_long(f"{limits.max_chars} characters")
    try:
        sql.encode()
    except UnicodeEncodeError:
        raise StatementRefused("statement.encoding", "The statement is not valid Unicode text.") from None
    if _CONTROL.search(sql):
        raise StatementRefused("statement.encoding", "The statement contains a control character.")
    try:
        tokens = _DIALECT.tokenize(sql)
    except (TokenError, ValueError):
        raise StatementRefused(
            "statement.syntax",
            "The statement could not be read: a quote or a comment is not closed, or a literal is odd.",
        ) from None
    if len(tokens) > limits.max_tokens:
        _refuse_long(f"{limits.max_tokens} words and signs; pass long lists as a parameter")
    depth = deepest = 0
    for token in tokens:
        if token.token_type in _OPENING:
            depth += 1
            deepest = max(deepest, depth)
        elif token.token_type in _CLOSING:
            depth -= 1
    if deepest > limits.max_nesting:
        refuse_deep()
    return tokens


def parse_tree(tokens: list[Token], sql: str) -> Tree:
    """The tree of the one statement in `tokens`. Refuses by `statement.syntax` with line and column."""
    try:
        trees = _DIALECT.parser().parse(tokens, sql)
    except ParseError as error:
        at = error.errors[0] if error.errors else {}
        line, column = at.get("line"), at.get("col")
        where = f" at line {line}, column {column}" if line else ""
        raise StatementRefused(
            "statement.syntax", f"The statement could not be parsed{where}.", line=line, column=column
        ) from None
    except RecursionError:
        refuse_deep()
    except (SqlglotError, ValueError, TypeError, AttributeError, KeyError, IndexError):
        # The parser's builders trust their input; what trips them is no statement that we know.
        raise StatementRefused("statement.syntax", "The statement could not be parsed.") from None
    tree = trees[0] if len(trees) == 1 else None
    if not isinstance(tree, exp.Expr):
        raise StatementRefused("statement.syntax", "The statement could not be parsed.")
    return tree


def refuse_deep() -> NoReturn:
    raise StatementRefused(
        "statement.too_deep", "The statement is nested too deeply. Name its parts with WITH, one after the other."
    )


def _refuse_long(limit: str) -> NoReturn:
    raise StatementRefused("statement.too_long", f"The statement is too long: at most {limit}.")
