"""The two corpora as values, and the data that they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
DATASETS: Mapping[str, str] = {
    "demo.people": (
        "SELECT range::INTEGER AS id, ['FI', 'SE', 'DE', 'NL'][1 + range % 4] AS country, 'person-' || range AS name, "
        "(1980 + range % 40)::INTEGER AS year, range * 1.5 AS amount, DATE '1980-01-01' + range::INTEGER AS born, "
        "['a', 'b', 'c'][1:1 + range % 3] AS tags FROM range(2000)"
    ),
    "demo.visits": (
        "SELECT range::INTEGER AS id, (range % 2000)::INTEGER AS person, "
        "TIMESTAMP '2024-01-01' + to_minutes(range * 37) AS started, (range % 90)::INTEGER AS minutes, "
        "{'city': 'city-' || range % 7, 'lat': 60 + range % 5, 'lon': 20.5} AS place, "
        '\'{"kind": "k\' || range % 3 || \'", "steps": [1, 2]}\' AS extra FROM range(5000)'
    ),
    "demo.secret": "SELECT range::INTEGER AS id, 'secret-' || range AS name FROM range(100)",
}
"""Name -> a SELECT that makes its rows. The caller of the corpora may query the first two."""


@dataclass(frozen=True, slots=True)
class Case:
    """A line of `sql.yaml` or `allowed.yaml`; what the fields mean stands at the top of the former."""

    id: str
    tries: str
    sql: str
    expect: str
    code: str | None
    names: tuple[str, ...] | None
    params: Sequence[Any] | Mapping[str, Any]


def _text(sql: str | Mapping[str, Any]) -> str:
    if isinstance(sql, str):
        return sql
    units = (str(sql["unit"]).replace("#", str(number)) for number in range(int(sql["times"])))
    return str(sql["before"]) + "".join(units) + str(sql.get("after", ""))


def load(file: str) -> list[Case]:
    """The cases of `sql.yaml` or `allowed.yaml`, in their order."""
    lines = yaml.safe_load((HERE / file).read_text(encoding="utf-8"))
    return [
        Case(
            id=line["id"],
            tries=line["tries"],
            sql=_text(line["sql"]),
            expect=line["expect"],
            code=line.get("code"),
            names=tuple(line["names"]) if "names" in line else None,
            params=line.get("params", ()),
        )
        for line in lines
    ]
