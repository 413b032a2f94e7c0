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
from sqlglot.parsers.duckdb import DuckDBParser
from sqlglot.tokenizer_core import Token, TokenType

from datalab.flow.errors import StatementRefused

__all__ = ["WRITTEN", "Limits", "Token", "Tree", "parse_tree", "tokenize"]

Tree: TypeAlias = exp.Expr

# Its warnings quote the statement, literals included.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL + 1)

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff]")
_OPENING = frozenset({TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE})
_CLOSING = frozenset({TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE})
# The engine reads nested comments in quadratic time: 20,000 of them took it half a minute.
_MAX_COMMENTS = 200
# sqlglot copies what stands before each method call, `a.f().g()`: the copied tokens of a statement, all together.
_MAX_COPIED = 20_000
# sqlglot lists the columns of a PIVOT, the product of its lists of values.
_MAX_PIVOTED = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a statement may measure. They bound the time of parsing, which grows with the number of tokens.

    max_nesting: brackets of all kinds open at once.
    """

    max_chars: int = 50_000
    max_tokens: int = 5_000
    max_nesting: int = 32


WRITTEN = "written"
"""Where the tree keeps the name of a call as it was written: `node.meta[WRITTEN]`."""


class _Parser(DuckDBParser):
    """sqlglot's parser for DuckDB, with a bound where it would do more work than the text is long."""

    pivoted = 1

    def _parse_pivot_in(self) -> exp.In:
        place = super()._parse_pivot_in()
        self.pivoted *= max(1, len(place.expressions))
        if self.pivoted > _MAX_PIVOTED:
            _refuse_long(f"PIVOT may make {_MAX_PIVOTED} columns")
        return place


class _Dialect(DuckDB):
    # Another offset makes the parser infer types at each index, in quadratic time; we never write SQL from the tree.
    INDEX_OFFSET = 0
    ORIGINAL_NAME_META_KEY = WRITTEN
    Parser = _Parser


_DIALECT = _Dialect()


def tokenize(sql: str, limits: Limits) -> list[Token]:
    """The tokens of `sql`, comments left out; linear in its length. Refuses by `statement.too_long`,
    `statement.too_deep`, `statement.encoding`, `statement.syntax`.
    """
    if len(sql) > limits.max_chars:
        _refuse_long(f"at most {limits.max_chars} characters")
    try:
        sql.encode()
    except UnicodeEncodeError:
        raise StatementRefused("statement.encoding", "The statement is not valid Unicode text.") from None
    if _CONTROL.search(sql):
        raise StatementRefused("statement.encoding", "The statement contains a control character.")
    if sql.count("/*") > _MAX_COMMENTS:
        _refuse_long(f"at most {_MAX_COMMENTS} comments")
    try:
        tokens = _DIALECT.tokenize(sql)
    except (TokenError, ValueError):
        raise StatementRefused(
            "statement.syntax",
            "The statement could not be read: a quote or a comment is not closed, or a literal is odd.",
        ) from None
    if len(tokens) > limits.max_tokens:
        _refuse_long(f"at most {limits.max_tokens} words and signs")
    _measure(tokens, limits)
    return tokens


def _measure(tokens: list[Token], limits: Limits) -> None:
    """Refuse what is nested too deeply, or would be copied too often: one pass over the tokens."""
    starts = [0]  # for each open bracket, and for the whole, where the current operand begins
    copied = 0
    chained = called = False  # the last token was the dot of a chain; the name after such a dot
    for index, token in enumerate(tokens):
        kind = token.token_type
        if kind in _OPENING:
            if called and kind == TokenType.L_PAREN:
                copied += index - starts[-1]
            starts.append(index + 1)
            if len(starts) > limits.max_nesting + 1:
                refuse_deep()
            chained = called = False
        elif kind in _CLOSING:
            if len(starts) > 1:
                starts.pop()
            chained = called = False
        elif kind == TokenType.DOT:
            chained, called = True, False
        else:
            if not chained:
                starts[-1] = index
            called, chained = chained, False
    if copied > _MAX_COPIED:
        _refuse_long(f"at most {_MAX_COPIED} words and signs before the dots of method calls, all together")


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
    raise StatementRefused("statement.too_long", f"The statement is too long: {limit}.")
