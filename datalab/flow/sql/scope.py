"""What the tree of a statement names, and whether each name can be seen where it stands.

Owns the first gate's walk. Scope is the engine's: a common table expression sees those before it and the outer ones,
itself only in the second arm of a recursive UNION; a query and all below it see the expressions of its own WITH. Must
never pass over a node that it does not know.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn, TypeAlias

from sqlglot import exp

from datalab.flow.errors import StatementRefused
from datalab.flow.functions import fold, load
from datalab.flow.sql.dialect import WRITTEN, Tree
from datalab.flow.sql.names import VALUE_FUNCTIONS, DatasetName, dataset, refuse_unqualified, require_plain
from datalab.flow.sql.types import require_name

_Scope: TypeAlias = frozenset[str]
_Frames: TypeAlias = list[tuple[exp.Expr, _Scope]]

_CURRENT: dict[type[exp.Expr], str] = {
    exp.CurrentCatalog: "current_catalog",
    exp.CurrentDate: "current_date",
    exp.CurrentRole: "current_role",
    exp.CurrentTime: "current_time",
    exp.CurrentTimestamp: "current_timestamp",
    exp.CurrentUser: "current_user",
    exp.Localtime: "localtime",
    exp.Localtimestamp: "localtimestamp",
    exp.SessionUser: "session_user",
}
_NODES: dict[type[exp.Expr], bool] = {}
_KNOWN = (
    exp.Alias,
    exp.Aliases,
    exp.All,
    exp.Any,
    exp.AtTimeZone,
    exp.Between,
    exp.Binary,
    exp.BitString,
    exp.Boolean,
    exp.Bracket,
    exp.ByteString,
    exp.Column,
    exp.ColumnDef,
    exp.CTE,
    exp.Collate,
    exp.Columns,
    exp.Comprehension,
    exp.Cube,
    exp.DataType,
    exp.DataTypeParam,
    exp.Distinct,
    exp.Dot,
    exp.Escape,
    exp.Exists,
    exp.Fetch,
    exp.Filter,
    exp.From,
    exp.Func,
    exp.Group,
    exp.GroupingSets,
    exp.Having,
    exp.HavingMax,
    exp.HexString,
    exp.Identifier,
    exp.IgnoreNulls,
    exp.In,
    exp.Interval,
    exp.IntervalSpan,
    exp.Join,
    exp.JSONKeyValue,
    exp.JSONPath,
    exp.JSONPathPart,
    exp.Kwarg,
    exp.Lambda,
    exp.Lateral,
    exp.Limit,
    exp.LimitOptions,
    exp.Literal,
    exp.National,
    exp.Null,
    exp.Offset,
    exp.Order,
    exp.Ordered,
    exp.Paren,
    exp.Pivot,
    exp.PivotAlias,
    exp.PivotAny,
    exp.Placeholder,
    exp.PositionalColumn,
    exp.PropertyEQ,
    exp.Qualify,
    exp.RawString,
    exp.RespectNulls,
    exp.Rollup,
    exp.Select,
    exp.SetOperation,
    exp.Slice,
    exp.Star,
    exp.Subquery,
    exp.Table,
    exp.TableAlias,
    exp.TableSample,
    exp.Tuple,
    exp.Unary,
    exp.UnpivotColumns,
    exp.Values,
    exp.Var,
    exp.Where,
    exp.Window,
    exp.WindowSpec,
    exp.With,
    exp.WithinGroup,
    exp.WithTableHint,
)
_TABLE_PARTS = frozenset({"this", "db", "catalog", "alias", "joins", "pivots", "sample", "laterals", "ordinality"})
_ROOTS = (exp.Select, exp.SetOperation, exp.Subquery, exp.Values, exp.Pivot)


@dataclass(slots=True)
class Survey:
    """datasets: each once. aliases: folded names given to tables together with columns. functions: folded names of
    calls without brackets. parameters: names of placeholders, `?` counted from 1.
    """

    datasets: set[DatasetName] = field(default_factory=set)
    aliases: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)
    unnamed: int = 0

    @property
    def parameters(self) -> frozenset[str]:
        return frozenset(self.named | {str(n) for n in range(1, self.unnamed + 1)})


def survey(tree: Tree) -> Survey:
    """Everything that `tree` names; StatementRefused for a node or a name that has no place in a query."""
    if not isinstance(tree, _ROOTS):
        raise StatementRefused("statement.not_select", "Only a SELECT is allowed. Datasets are read-only here.")
    found = Survey()
    frames: _Frames = [(tree, frozenset())]
    while frames:
        node, scope = frames.pop()
        _require_known(node)
        with_ = node.args.get("with_")
        if isinstance(with_, exp.With):
            scope = _enter(with_, scope, frames, found)
        if isinstance(node, exp.Table):
            _name_table(node, scope, found)
        else:
            _note(node, found)
        frames.extend((child, scope) for child in node.iter_expressions() if child is not with_)
    return found


def _note(node: exp.Expr, found: Survey) -> None:
    """What a node other than a table adds to the survey."""
    if isinstance(node, exp.TableAlias):
        if node.args.get("columns"):
            found.aliases.add(fold(node.name))
    elif isinstance(node, exp.Column):
        if len(node.parts) == 1 and fold(node.name) in VALUE_FUNCTIONS:
            found.functions.add(VALUE_FUNCTIONS[fold(node.name)])
    elif type(node) in _CURRENT:
        found.functions.add(VALUE_FUNCTIONS[_CURRENT[type(node)]])
    elif isinstance(node, exp.Placeholder):
        if node.this:
            found.named.add(node.name)
        else:
            found.unnamed += 1
    elif isinstance(node, exp.DataType):
        if node.this == exp.DType.USERDEFINED:
            require_name(str(node.args.get("kind") or ""))
        elif node.this == exp.DType.VARIANT:
            require_name("variant")
    elif isinstance(node, exp.Pivot):
        _require_listed(node)


def _require_listed(node: exp.Pivot) -> None:
    """PIVOT without its values would make the engine run a statement of its own first."""
    if node.args.get("unpivot"):
        return
    for place in (*(node.args.get("fields") or ()), *(node.expressions if node.args.get("using") is not None else ())):
        listed = place.expressions if isinstance(place, exp.In) else ()
        if not listed or any(value.find(exp.Query) for value in listed):
            raise StatementRefused("statement.pivot", "PIVOT needs the values themselves: ON column IN (value, ...).")


def _enter(with_: exp.With, scope: _Scope, frames: _Frames, found: Survey) -> _Scope:
    """Queue the bodies of a WITH, each with what it may see; the scope of the query that the WITH belongs to."""
    for cte in with_.expressions:
        _require_known(cte)
        name, body = fold(cte.alias), cte.this
        require_plain(cte.alias)
        if cte.args["alias"].args.get("columns"):
            found.aliases.add(name)
        if with_.args.get("recursive") and isinstance(body, exp.Union):
            _queue_recursive(body, name, scope, frames, found)
        else:
            frames.append((body, scope))
        scope |= {name}
    return scope


def _queue_recursive(body: exp.Union, name: str, scope: _Scope, frames: _Frames, found: Survey) -> None:
    inner = body.args.get("with_")
    if isinstance(inner, exp.With):
        scope = _enter(inner, scope, frames, found)
    _require_known(body)
    for child in body.iter_expressions():
        if child is not inner:
            frames.append((child, scope | {name} if child is body.expression else scope))


def _name_table(node: exp.Table, scope: _Scope, found: Survey) -> None:
    this, parts = node.this, [node.args.get(part) for part in ("catalog", "db")]
    for arg, value in node.args.items():
        if value and arg not in _TABLE_PARTS:
            if arg in {"when", "version"}:
                raise StatementRefused(
                    "statement.time_travel",
                    "AT (...) is not supported. Choose a version with `versions` in the request.",
                )
            _refuse_node(node, arg)
    if isinstance(this, exp.Func):
        if any(parts):
            raise StatementRefused("statement.function", "Functions in FROM are called by their plain name.")
        written = this.name if isinstance(this, exp.Anonymous) else this.meta.get(WRITTEN, this.sql_name())
        load().require(written, relation=True)
        return
    if not isinstance(this, exp.Identifier) or not all(
        part is None or isinstance(part, exp.Identifier) for part in parts
    ):
        raise StatementRefused(
            "statement.name", "A dataset is named space.name: two parts, written in the statement itself."
        )
    catalog, schema = (part.name if part is not None else "" for part in parts)
    if schema:
        found.datasets.add(dataset(catalog, schema, this.name))
    elif fold(this.name) not in scope:
        refuse_unqualified(this.name)


def _require_known(node: exp.Expr) -> None:
    kind = type(node)
    known = _NODES.get(kind)
    if known is None:
        known = _NODES[kind] = issubclass(kind, _KNOWN)
    if not known:
        _refuse_node(node, "")


def _refuse_node(node: exp.Expr, arg: str) -> NoReturn:
    word = " ".join(part for part in (node.key, arg.strip("_")) if part)
    raise StatementRefused("statement.unsupported", f"This part of SQL is not supported here: {word}.", part=word)
