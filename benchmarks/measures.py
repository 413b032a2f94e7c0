"""What is measured: each function returns one row of the table, a ratio against its reference in the same run.

Owns how often things are repeated and which number counts (medians; the two sides take turns, so that a slow minute of the
machine hits both).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

import duckdb
import pyarrow as pa

from benchmarks.data import queries
from benchmarks.peers import PIECE_BYTES, Peer, gateway

SMALL = "SELECT l_returnflag, count(*) AS n, sum(l_quantity) AS q FROM {lineitem} WHERE l_orderkey < 20000 GROUP BY 1"
STREAM = "SELECT * FROM {lineitem}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """measured: in `unit`. goal: the design's; detail: the numbers behind it."""

    what: str
    against: str
    measured: float
    unit: str
    goal: str
    met: bool
    detail: dict[str, Any]


def ours(sql: str) -> str:
    return sql.format(lineitem="tpch.lineitem")


def theirs(sql: str) -> str:
    return sql.format(lineitem="lineitem")


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def taking_turns(rounds: int, *works: Callable[[], object]) -> list[float]:
    """Median seconds of each, after one round that does not count."""
    times: list[list[float]] = [[] for _ in works]
    for number in range(rounds + 1):
        for kept, work in zip(times, works, strict=True):
            seconds = timed(work)
            if number:
                kept.append(seconds)
    return [statistics.median(kept) for kept in times]


def as_table(peer: Peer, connection: Any, sql: str) -> Callable[[], object]:
    return lambda: pa.ipc.open_stream(peer.fetch(connection, sql)).read_all()


def raw_table(raw: duckdb.DuckDBPyConnection, sql: str) -> Callable[[], object]:
    return lambda: raw.execute(sql).to_arrow_table()


def tpch_queries(peer: Peer, raw: duckdb.DuckDBPyConnection, rounds: int) -> Row:
    connection = peer.connect()
    ratios = {}
    for number, sql in enumerate(queries(), 1):
        mine, reference = taking_turns(rounds, as_table(peer, connection, sql), raw_table(raw, sql))
        ratios[f"q{number}"] = round(mine / reference, 3)
    mean = statistics.geometric_mean(ratios.values())
    return Row(
        what="TPC-H, 22 queries, geometric mean",
        against="in-process DuckDB",
        measured=mean,
        unit="x",
        goal="<= 1.10",
        met=mean <= 1.10,
        detail=ratios,
    )


def small_aggregate(peer: Peer, raw: duckdb.DuckDBPyConnection, other: Peer, rounds: int) -> list[Row]:
    connection, elsewhere = peer.connect(), other.connect()
    mine, reference, roapi = taking_turns(
        rounds,
        as_table(peer, connection, ours(SMALL)),
        raw_table(raw, ours(SMALL)),
        lambda: other.fetch(elsewhere, theirs(SMALL), "application/json"),
    )
    added_ms = (mine - reference) * 1000
    detail = {"gateway_ms": mine * 1000, "duckdb_ms": reference * 1000, "roapi_ms": roapi * 1000}
    return [
        Row(
            what="small governed aggregate, p50",
            against="in-process DuckDB",
            measured=added_ms,
            unit="ms more",
            goal="<= 5",
            met=added_ms <= 5,
            detail=detail,
        ),
        Row(
            what="small governed aggregate, p50",
            against="ROAPI",
            measured=mine / roapi,
            unit="x",
            goal="<= 0.5",
            met=mine / roapi <= 0.5,
            detail=detail,
        ),
    ]


def filter_and_mask(directory: Path, rounds: int) -> Row:
    """A policy's filter and masks against the same SELECT written by hand, both through the gateway."""
    policy = {
        "title": "A filter and two masks",
        "effect": "permit",
        "actions": ["query"],
        "when": "true",
        "obligations": {
            "rows": {"all": [{"column": "l_quantity", "op": "le", "value": "25"}]},
            "masks": [{"column": "l_comment", "with": "null"}, {"column": "l_shipdate", "with": "year"}],
        },
    }
    governed = "SELECT l_shipdate, count(l_comment) AS c, sum(l_extendedprice) AS p FROM tpch.lineitem GROUP BY 1"
    by_hand = (
        "SELECT l_shipdate, count(l_comment) AS c, sum(l_extendedprice) AS p FROM (SELECT * REPLACE "
        "(date_trunc('year', l_shipdate)::DATE AS l_shipdate, NULL::VARCHAR AS l_comment) FROM tpch.lineitem "
        "WHERE l_quantity <= 25) GROUP BY 1"
    )
    with gateway(directory, [policy]) as masked, gateway(directory) as plain:
        one, other = masked.connect(), plain.connect()
        mine, reference = taking_turns(rounds, as_table(masked, one, governed), as_table(plain, other, by_hand))
    return Row(
        what="row filter and masks",
        against="the same by hand",
        measured=mine / reference,
        unit="x",
        goal="<= 1.03",
        met=mine / reference <= 1.03,
        detail={"governed_s": mine, "by_hand_s": reference},
    )


def streams(peer: Peer, raw: duckdb.DuckDBPyConnection, other: Peer, rounds: int) -> list[Row]:
    firsts: dict[str, list[float]] = {"gateway": [], "roapi": []}

    def read(source: Peer, sql: str, name: str) -> Callable[[], object]:
        def work() -> None:
            began = time.perf_counter()
            answer = source.ask(source.connect(), sql)
            answer.read(1)
            firsts[name].append(time.perf_counter() - began)
            while answer.read(PIECE_BYTES):
                pass

        return work

    def in_process() -> None:
        for _ in raw.execute(ours(STREAM)).to_arrow_reader(122_880):
            pass

    mine, reference, roapi = taking_turns(
        rounds, read(peer, ours(STREAM), "gateway"), in_process, read(other, theirs(STREAM), "roapi")
    )
    first, roapi_first = (statistics.median(firsts[name]) for name in ("gateway", "roapi"))
    detail = {
        "gateway_s": mine,
        "duckdb_s": reference,
        "roapi_s": roapi,
        "first_s": first,
        "roapi_first_s": roapi_first,
    }
    return [
        Row(
            what="6 M rows as Arrow, throughput",
            against="in-process DuckDB stream",
            measured=reference / mine,
            unit="x",
            goal=">= 0.90",
            met=reference / mine >= 0.90,
            detail=detail,
        ),
        Row(
            what="6 M rows as Arrow, throughput",
            against="ROAPI",
            measured=roapi / mine,
            unit="x",
            goal=">= 1.0",
            met=roapi / mine >= 1.0,
            detail=detail,
        ),
        Row(
            what="first byte of that stream",
            against="ROAPI",
            measured=first / roapi_first,
            unit="x",
            goal="<= 0.1",
            met=first / roapi_first <= 0.1,
            detail=detail,
        ),
    ]


def stream_memory(peer: Peer, what: str) -> Row:
    """How much the gateway and its workers grow while a stream of any size passes."""
    peer.fetch(peer.connect(), "SELECT count(*) AS n FROM tpch.lineitem")
    time.sleep(3)  # the spare that takes the worker's place is an idle process too
    before = resident_bytes(peer.pid)
    with peak_memory(peer.pid) as peak:
        answer = peer.ask(peer.connect(), ours(STREAM))
        while answer.read(PIECE_BYTES):
            pass
    grown = (peak["bytes"] - before) / 2**20
    return Row(
        what=what,
        against="themselves idle",
        measured=grown,
        unit="MB more",
        goal="<= 64",
        met=grown <= 64,
        detail={"idle_mb": before / 2**20, "peak_mb": peak["bytes"] / 2**20},
    )


@contextmanager
def peak_memory(pid: int) -> Iterator[dict[str, int]]:
    """The largest sum of private resident memory of a process and its children while the block runs."""
    peak, stop = {"bytes": 0}, Event()

    def watch() -> None:
        while not stop.wait(0.01):
            peak["bytes"] = max(peak["bytes"], resident_bytes(pid))

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        stop.set()
        watcher.join()


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and its children; pages of shared memory count once (in /proc: RssShmem)."""
    total, shared = 0, 0
    for process in (pid, *children(pid)):
        try:
            status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
        except (FileNotFoundError, ProcessLookupError):
            continue
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        if "VmRSS" not in fields:
            continue
        own_shared = int(fields["RssShmem"].split()[0])
        total += int(fields["VmRSS"].split()[0]) - own_shared
        shared = max(shared, own_shared)
    return (total + shared) * 1024


def children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(one) for one in text.split()]
