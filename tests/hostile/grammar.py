"""Random SQL from a grammar: names, scopes and shapes in every combination, of which most binds.

All tables and expressions have the columns x (INTEGER) and y (VARCHAR), so that what fails to bind fails for its names.
"""

from __future__ import annotations

from hypothesis import strategies as st

DATASETS = (("a", "t"), ("a", "u"), ("b", "t"))
NAMES = ("t", "u", "c", "d")

Draw = st.DrawFn


@st.composite
def spelling(draw: Draw, name: str) -> str:
    """The same name in another case, or in quotes."""
    cased = draw(st.sampled_from([name, name.upper()]))
    return draw(st.sampled_from([cased, f'"{cased}"']))


@st.composite
def dataset(draw: Draw) -> str:
    space, name = draw(st.sampled_from(DATASETS))
    dot = draw(st.sampled_from([".", ".", " . ", "/* x */./**/"]))
    return f"{draw(spelling(space))}{dot}{draw(spelling(name))}"


@st.composite
def relation(draw: Draw, depth: int, used: bool = False) -> str:
    """One item of FROM, with an alias of its own."""
    alias = f"r{draw(st.integers(0, 10_000_000))}"
    kind = draw(st.integers(0, 9 if depth > 0 else 4))
    if kind <= 1:
        return f"{draw(dataset())} AS {alias}"
    if kind <= 4:
        return f"{draw(spelling(draw(st.sampled_from(NAMES))))} AS {alias}"
    if kind <= 6:
        return f"({draw(query(depth - 1, used))}) AS {alias}"
    if kind == 7:
        return f"LATERAL ({draw(query(depth - 1, used))}) AS {alias}"
    if kind == 8:
        return f"(VALUES (1, ({draw(scalar(depth - 1, used))}))) AS {alias}(x, y)"
    return f"(SELECT range AS x, 'r' AS y FROM range(2)) AS {alias}"


@st.composite
def source(draw: Draw, depth: int, used: bool = False) -> tuple[str, str]:
    """FROM with joins, and the alias of its first relation."""
    first = draw(relation(depth, used))
    text = first
    for _ in range(draw(st.integers(0, 2))):
        join = draw(st.sampled_from([", ", " CROSS JOIN ", " POSITIONAL JOIN "]))
        other = draw(relation(depth, used))
        if "POSITIONAL" in join and ("LATERAL" in other or "LATERAL" in text):
            join = ", "
        text += join + other
    return text, first.rsplit(" AS ", 1)[1].split("(")[0]


@st.composite
def scalar(draw: Draw, depth: int, used: bool = False) -> str:
    """An expression of type VARCHAR, at times with a query inside."""
    if depth <= 0:
        return draw(st.sampled_from(["'k'", "upper('k')", "NULL::VARCHAR"]))
    inner = draw(query(depth - 1, used))
    return draw(
        st.sampled_from(
            [
                f"(SELECT max(y) FROM ({inner}) AS q)",
                f"CASE WHEN EXISTS ({inner}) THEN 'k' END",
                f"array_to_string(list_transform(['k'], lambda z: z || (SELECT max(y) FROM ({inner}) AS q)), '')",
                f"coalesce(['k', (SELECT min(y) FROM ({inner}) AS q)][1], {{'f': (SELECT 'v' FROM ({inner}) AS q LIMIT 1)}}.f)",
                f"(ARRAY(SELECT y FROM ({inner}) AS q))[1]",
            ]
        )
    )


@st.composite
def select(draw: Draw, depth: int, used: bool = False) -> str:
    text, alias = draw(source(depth, used))
    y = draw(st.sampled_from([f"{alias}.y", f"{alias}.y", draw(scalar(depth - 1, used))]))
    text = draw(
        st.sampled_from(
            [f"SELECT {alias}.x AS x, {y} AS y FROM {text}", f"FROM {text} SELECT {alias}.x AS x, {y} AS y"]
        )
    )
    if draw(st.booleans()):
        text += f" WHERE {alias}.y IN ({draw(query_of_y(depth - 1, used))})"
    if draw(st.integers(0, 5)) == 0:
        text += f" QUALIFY row_number() OVER (ORDER BY {draw(scalar(depth - 1, used))}) > 0"
    return text


@st.composite
def query_of_y(draw: Draw, depth: int, used: bool = False) -> str:
    if depth <= 0:
        return "'k'"
    return f"SELECT y FROM ({draw(query(depth - 1, used))}) AS w"


@st.composite
def query(draw: Draw, depth: int, used: bool = False) -> str:
    """A query of columns x and y, with WITH, set operations and modifiers.

    used: whatever WITH names is read; the engine does not bind what nothing reads.
    """
    if depth <= 0:
        table = draw(st.one_of(dataset(), st.sampled_from(NAMES).flatmap(spelling)))
        return draw(st.sampled_from([f"SELECT x, y FROM {table}", f"FROM {table}", f"TABLE {table}"]))
    body = draw(select(depth, used))
    kind = draw(st.integers(0, 5))
    if kind == 0:
        operation = draw(st.sampled_from(["UNION", "UNION ALL", "EXCEPT", "INTERSECT", "UNION ALL BY NAME"]))
        body = f"{body} {operation} {draw(select(depth - 1, used))}"
    elif kind == 1:
        body = f"({draw(query(depth - 1, used))}) UNION ALL ({body})"
    elif kind == 2:
        body += f" ORDER BY 1 LIMIT (SELECT count(*) FROM ({draw(query(depth - 1, used))}) AS m)"
    names = draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True))
    if not names:
        return body
    recursive = draw(st.booleans())
    parts = []
    for name in names:
        inner = draw(query(depth - 1, used))
        if recursive and draw(st.booleans()):
            inner = f"SELECT 1 AS x, 'k' AS y UNION SELECT x, y FROM {draw(relation(0))}"
        hint = draw(st.sampled_from(["", "MATERIALIZED ", "NOT MATERIALIZED "]))
        columns = draw(st.sampled_from(["", "(x, y)"]))
        parts.append(f"{draw(spelling(name))}{columns} AS {hint}({inner})")
    if used:
        reads = " AND ".join(f"(SELECT count(*) FROM {name}) >= 0" for name in names)
        body = f"SELECT b.x, b.y FROM ({body}) AS b WHERE {reads}"
    return f"WITH {'RECURSIVE ' if recursive else ''}{', '.join(parts)} {body}"
