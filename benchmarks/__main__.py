"""`python -m benchmarks`: measures, prints a table, writes `benchmarks/out/results.json`."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table

from benchmarks.data import in_process, tpch
from benchmarks.measures import Row, filter_and_mask, small_aggregate, stream_memory, streams, tpch_queries
from benchmarks.peers import gateway, roapi
from benchmarks.registering import registering

OUT = Path(__file__).parent / "out"
PARTS = ("tpch", "small", "mask", "stream", "memory", "register", "memory10")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, epilog="Example: python -m benchmarks --only small stream"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=[part for part in PARTS if part != "memory10"])
    parser.add_argument("--rounds", type=int, default=5, help="how often each side is timed")
    arguments = parser.parse_args()
    rows = []
    for row in measure(set(arguments.only), arguments.rounds):
        rows.append(row)
        print(f"{row.what}, against {row.against}: {row.measured:.2f} {row.unit} (goal {row.goal})", flush=True)
    show(rows)
    OUT.mkdir(exist_ok=True)
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "duckdb": duckdb.__version__}
    text = json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=2)
    (OUT / "results.json").write_text(text + "\n", encoding="utf-8")


def measure(parts: set[str], rounds: int) -> Iterator[Row]:
    directory = tpch(1)
    with in_process(directory) as raw:
        if parts & {"tpch", "small", "stream", "memory"}:
            with gateway(directory) as peer:
                if "tpch" in parts:
                    yield tpch_queries(peer, raw, rounds)
                if "memory" in parts:
                    yield stream_memory(peer, "gateway and workers while 6 M rows pass")
                if parts & {"small", "stream"}:
                    with roapi(directory) as other:
                        if "small" in parts:
                            yield from small_aggregate(peer, raw, other, rounds * 20)
                        if "stream" in parts:
                            yield from streams(peer, raw, other, rounds)
    if "mask" in parts:
        yield filter_and_mask(directory, rounds * 2)
    if "register" in parts:
        yield registering()
    if "memory10" in parts:
        with gateway(tpch(10), DATALAB_ENGINE_TIMEOUT_S="600") as peer:
            yield stream_memory(peer, "gateway and workers while 60 M rows pass")


def show(rows: list[Row]) -> None:
    table = Table("what", "against", "measured", "goal", "met")
    for row in rows:
        table.add_row(row.what, row.against, f"{row.measured:.2f} {row.unit}", row.goal, "yes" if row.met else "no")
    Console().print(table)


if __name__ == "__main__":
    main()
