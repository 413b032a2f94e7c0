"""What the tokens of a statement say before it is parsed: that it is one query, and which names are called.

Owns the reading of tokens. Must never take a name before a bracket for harmless only because a parser has no word for
it: what is neither an alias nor part of the grammar counts as a call.
"""

from __future__ import annotations

from itertools import pairwise

from sqlglot.tokenizer_core import TokenType

from datalab.flow.errors import StatementRefused
from datalab.flow.functions import fold, load
from datalab.flow.sql.dialect import Token

_BEGINNINGS = frozenset(
    {"select", "with", "from", "values", "table", "(", "pivot", "pivot_wider", "unpivot", "pivot_longer"}
)
_INSTEAD = {
    "describe": "Ask for a dataset's columns at /api/v1/datasets/{space}/{name}/schema.",
    "desc": "Ask for a dataset's columns at /api/v1/datasets/{space}/{name}/schema.",
    "show": "The datasets that you may see are listed at /api/v1/datasets.",
    "summarize": "Write the aggregates that you need as a SELECT.",
    "explain": "Send the SELECT itself to /api/v1/explain.",
    "set": "Settings cannot be changed.",
    "pragma": "Settings cannot be changed.",
    "create": "Use WITH for intermediate results.",
    "copy": "Choose the format of the answer with the Accept header.",
}
# Words of the grammar that may stand before a bracket. Quoted, they are names.
_WORDS = """
    all and any array as asc between bernoulli by case cast coalesce collate columns cross cube desc distinct else end
    escape except exclude exists extract fetch filter first following for from full glob group grouping grouping_id
    having if ifnull ilike in inner intersect interval into is isnull join key last lateral left like limit
    materialized natural not notnull null nulls of offset on only or order outer over partition percent percentile_cont
    percentile_disc pivot pivot_longer pivot_wider position positional preceding qualify range recursive rename
    repeatable replace reservoir right rollup rows sample select semi anti asof sets similar some substring system
    table tablesample then to trim try try_cast union unpivot using value values when where window with within
    bigint binary bit bitstring blob bool boolean bpchar bytea char character date datetime dec decimal double enum
    float geometry hugeint int integer json list map nchar numeric nvarchar real row smallint string struct text time
    timestamp timestamptz timetz tinyint uuid varbinary varchar varying zone
"""
# sqlglot joins these words into one token.
_GRAMMAR = frozenset([*_WORDS.split(), "grouping sets", "group by", "order by", "partition by"])


def require_one_select(tokens: list[Token]) -> list[Token]:
    """The tokens without trailing semicolons. Refuses `statement.empty`, `statement.not_select`, `statement.several`
    and `statement.pipe`.
    """
    while tokens and tokens[-1].token_type == TokenType.SEMICOLON:
        tokens = tokens[:-1]
    if not tokens:
        raise StatementRefused("statement.empty", "The statement is empty.")
    if any(token.token_type == TokenType.SEMICOLON for token in tokens):
        raise StatementRefused("statement.several", "Send one statement at a time; this text holds several.")
    word = fold(tokens[0].text)
    if word not in _BEGINNINGS or tokens[0].token_type in {TokenType.IDENTIFIER, TokenType.STRING}:
        shown = word[:31] if word.isascii() and word.isalpha() else "This"
        hint = _INSTEAD.get(word, "Datasets are read-only here.")
        raise StatementRefused("statement.not_select", f"{shown.upper()} is not allowed: only a SELECT is. {hint}")
    if any(token.token_type == TokenType.PIPE_GT for token in tokens):
        raise StatementRefused("statement.pipe", "The engine does not know the pipe |>. Write the steps with WITH.")
    return tokens


def called_names(tokens: list[Token]) -> frozenset[str]:
    """The folded names that stand before an opening bracket and are not merely words of the grammar.

    Two kinds of names may be too many: a table alias with a list of columns, `t(a, b)`, which only the tree tells from a
    call, and a word that is also a function, `* REPLACE (...)`.
    """
    functions = load().expressions
    names: set[str] = set()
    for token, following in pairwise(tokens):
        if following.token_type != TokenType.L_PAREN:
            continue
        text = token.text
        if token.token_type != TokenType.IDENTIFIER:
            if token.token_type == TokenType.STRING or not (text[:1].isalpha() or text[:1] == "_"):
                continue
            if fold(text) in _GRAMMAR and fold(text) not in functions:
                continue
        names.add(fold(text))
    return frozenset(names)
