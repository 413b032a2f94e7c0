"""Random SQL from a grammar: names, scopes and shapes in every combination, of which most binds.

All tables and expressions have the columns x (INTEGER) and y (VARCHAR), so that what fails to bind fails for its names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st

DATASETS = (("a", "t"), ("a", "u"), ("b", "t"))
NAMES = ("t", "u", "c", "d")

Draw = st.DrawFn


@dataclass(frozen=True)
class Around:
    """What surrounds a part: how deep it may nest, which names WITH gave, whether all of them must be read."""

    depth: int
    scope: tuple[str, ...] = ()
    used: bool = False

    def inside(self, *names: str) -> Around:
        return replace(self, depth=self.depth - 1, scope=(*self.scope, *names))


@st.composite
def spelling(draw: Draw, name: str) -> str:
    """The same name in another case, or in quotes."""
    cased = draw(st.sampled_from([name, name.upper()]))
    return draw(st.sampled_from([cased, f'"{cased}"']))


@st.composite
def table(draw: Draw, around: Around) -> str:
    """A dataset, or a name of one part: as a rule one that WITH gave."""
    inner: bool = draw(st.booleans())
    if inner and around.scope:
        return draw(spelling(draw(st.sampled_from(around.scope))))
    if draw(st.integers(0, 19)) == 0:
        return draw(spelling(draw(st.sampled_from(NAMES))))
    space, name = draw(st.sampled_from(DATASETS))
    dot = draw(st.sampled_from([".", ".", " . ", "/* x */./**/"]))
    return f"{draw(spelling(space))}{dot}{draw(spelling(name))}"


@st.composite
def relation(draw: Draw, around: Around) -> str:
    """One item of FROM, with an alias of its own."""
    alias = f"r{draw(st.integers(0, 10_000_000))}"
    kind = draw(st.integers(0, 8 if around.depth > 0 else 4))
    if kind <= 4:
        return f"{draw(table(around))} AS {alias}"
    if kind <= 6:
        return f"({draw(query(around.inside()))}) AS {alias}"
    if kind == 7:
        return f"LATERAL ({draw(query(around.inside()))}) AS {alias}"
    return f"(VALUES (1, ({draw(scalar(around.inside()))}))) AS {alias}(x, y)"


@st.composite
def source(draw: Draw, around: Around) -> tuple[str, str]:
    """FROM with joins, and the alias of its first relation."""
    first = draw(relation(around))
    text = first
    for _ in range(draw(st.integers(0, 2))):
        join = draw(st.sampled_from([", ", " CROSS JOIN ", " POSITIONAL JOIN "]))
        other = draw(relation(around))
        if "POSITIONAL" in join and "LATERAL" in text + other:
            join = ", "
        text += join + other
    return text, first.rsplit(" AS ", 1)[1].split("(")[0]


@st.composite
def scalar(draw: Draw, around: Around) -> str:
    """An expression of type VARCHAR, at times with a query inside."""
    if around.depth <= 0:
        return draw(st.sampled_from(["'k'", "upper('k')", "NULL::VARCHAR"]))
    q = f"({draw(query(around.inside()))})"
    return draw(
        st.sampled_from(
            [
                f"(SELECT max(y) FROM {q} AS q)",
                f"CASE WHEN EXISTS {q} THEN 'k' END",
                f"array_to_string(list_transform(['k'], lambda z: z || (SELECT max(y) FROM {q} AS q)), '')",
                f"coalesce(['k', (SELECT min(y) FROM {q} AS q)][1], {{'f': (SELECT 'v' FROM {q} AS q LIMIT 1)}}.f)",
                f"(ARRAY(SELECT y FROM {q} AS q))[1]",
            ]
        )
    )


@st.composite
def select(draw: Draw, around: Around) -> str:
    text, alias = draw(source(around))
    y = f"{alias}.y" if draw(st.booleans()) else draw(scalar(around.inside()))
    columns = f"SELECT {alias}.x AS x, {y} AS y"
    # The first parser does not know every relation before FROM ... SELECT.
    plain = "VALUES" not in text and "LATERAL" not in text and draw(st.booleans())
    text = f"FROM {text} {columns}" if plain else f"{columns} FROM {text}"
    if around.depth > 1 and draw(st.booleans()):
        text += f" WHERE {alias}.y IN (SELECT y FROM ({draw(query(around.inside()))}) AS w)"
    if draw(st.integers(0, 5)) == 0:
        text += f" QUALIFY row_number() OVER (ORDER BY {draw(scalar(around.inside()))}) > 0"
    return text


@st.composite
def query(draw: Draw, around: Around) -> str:
    """A query of columns x and y, with WITH, set operations and modifiers."""
    if around.depth <= 0:
        name = draw(table(around))
        return draw(st.sampled_from([f"SELECT x, y FROM {name}", f"FROM {name}", f"TABLE {name}"]))
    names = draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True))
    recursive = draw(st.booleans())
    parts = []
    within = around
    for name in names:
        inner = draw(query(within.inside()))
        if recursive and draw(st.booleans()):
            inner = f"SELECT 1 AS x, 'k' AS y UNION SELECT x, y FROM {draw(table(within.inside(name)))}"
        hint = draw(st.sampled_from(["", "MATERIALIZED ", "NOT MATERIALIZED "]))
        columns = draw(st.sampled_from(["", "(x, y)"]))
        parts.append(f"{draw(spelling(name))}{columns} AS {hint}({inner})")
        within = replace(within, scope=(*within.scope, name))
    body = draw(body_of_query(within))
    if not names:
        return body
    if around.used:  # the engine does not bind what nothing reads
        reads = " AND ".join(f"(SELECT count(*) FROM {name}) >= 0" for name in names)
        body = f"SELECT b.x, b.y FROM ({body}) AS b WHERE {reads}"
    return f"WITH {'RECURSIVE ' if recursive else ''}{', '.join(parts)} {body}"


@st.composite
def body_of_query(draw: Draw, around: Around) -> str:
    body = draw(select(around))
    kind = draw(st.integers(0, 5))
    if kind == 0:
        operation = draw(st.sampled_from(["UNION", "UNION ALL", "EXCEPT", "INTERSECT", "UNION ALL BY NAME"]))
        return f"{body} {operation} {draw(select(around.inside()))}"
    if kind == 1:
        return f"({draw(query(around.inside()))}) UNION ALL ({body})"
    if kind == 2:
        return f"{body} ORDER BY 1 LIMIT (SELECT count(*) FROM ({draw(query(around.inside()))}) AS m)"
    return body
