"""The worker: a process that runs one plan at a time in a prepared, locked DuckDB instance and encodes the result.

It starts as a spare (instance open, extension loaded), is prepared once for one key (the caller's participant and the
storages of its queries: Landlock, secrets, allowed paths, then the lock), runs plans, and dies with the gateway. Must
never send engine text, values or paths: a refusal is a code, a class of sentence and names the caller may see.
"""

from __future__ import annotations

import os
import queue
import re
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

import duckdb
import orjson
import pyarrow as pa

from datalab.flow import parse, ring, sandbox
from datalab.flow.encoding import ENCODERS
from datalab.flow.errors import StatementRefused
from datalab.flow.request import Format
from datalab.flow.sink import Cancelled, FreeSlots, RingSink

BATCH_ROWS: Final = 32_768
CATALOGUE: Final = "datalab_local"
"""The throw-away in-memory catalogue that holds the views of one plan; two-part names resolve in it."""


class Refused(Exception):
    """The plan is answered with no. code: `engine.slug`; names: identifiers of the caller's own statement."""

    def __init__(self, code: str, **names: object) -> None:
        super().__init__(code)
        self.code = code
        self.names = names


class Worker:
    """One process's state."""

    def __init__(self, control: socket.socket, memory: memoryview, options: Mapping[str, Any]) -> None:
        self._control = control
        self._memory = memory
        self._slots = FreeSlots()
        self._cancelled = threading.Event()
        self._plans: queue.SimpleQueue[tuple[bytes, bytes] | None] = queue.SimpleQueue()
        self._views: Sequence[Mapping[str, str]] | None = None
        self._options = options
        self._connection = open_instance(options)

    def serve(self) -> None:
        """Answer frames until the gateway closes the socket."""
        self._control.sendall(ring.frame(ring.READY))
        frames = ring.read_frames(self._control)
        kind, payload = next(frames, (b"", b""))
        if kind != ring.PREPARE:
            return
        self._prepare(orjson.loads(payload))
        threading.Thread(target=self._listen, args=(frames,), daemon=True).start()
        self._control.sendall(ring.frame(ring.READY))
        while (message := self._plans.get()) is not None:
            self._run(orjson.loads(message[1]))

    def _listen(self, frames: Any) -> None:
        """The second thread: takes slots back and hears cancellation while a plan runs."""
        for kind, payload in frames:
            if kind == ring.FREE:
                self._slots.give(payload[0])
            elif kind == ring.CANCEL:
                self._cancelled.set()
                self._slots.cancel()
                self._connection.interrupt()
            elif kind == ring.RUN:
                self._cancelled.clear()
                self._slots.reset()
                self._plans.put((kind, payload))
        self._plans.put(None)
        os._exit(0)  # the gateway is gone; whatever runs, runs for nobody

    def _prepare(self, key: Mapping[str, Any]) -> None:
        directories = [access["directory"] for access in key["storages"] if access["kind"] == "local"]
        remote = [access for access in key["storages"] if access["kind"] == "s3"]
        spill = self._options["temp_directory"]
        confined = sandbox.landlock(
            readable=[*directories, *(access["ca_file"] for access in remote if access.get("ca_file"))],
            writable=[spill],
            connect_ports=sorted({53, *(access["port"] for access in remote)}) if remote else [],
        )
        if not confined and self._options["require_landlock"]:
            raise SystemExit("the kernel has no Landlock, and the settings require it")
        execute = self._connection.execute
        for number, access in enumerate(remote):
            execute(secret_statement(number, access))
        ca_files = {access["ca_file"] for access in remote if access.get("ca_file")}
        if ca_files:
            execute(f"SET ca_cert_file={literal(ca_files.pop())}")
        allowed = [*directories, *(access["scope"] for access in remote)]
        lock_instance(self._connection, self._options, allowed)
        sandbox.limit(memory_bytes=self._options["memory_bytes"], file_bytes=self._options["spill_bytes"])

    def _run(self, plan: Mapping[str, Any]) -> None:
        sink = RingSink(self._memory, self._control, self._slots)
        kind, message = self._outcome(plan, sink)
        sink.stop()  # before the gateway hears of the end: its next plan takes all slots anew
        self._control.sendall(ring.frame(kind, orjson.dumps(message)))

    def _outcome(self, plan: Mapping[str, Any], sink: RingSink) -> tuple[bytes, Mapping[str, Any]]:
        """How the plan ended, as the last frame says it. Nothing that happens in a plan may end the process."""
        try:
            return ring.DONE, self._answer(plan, sink)
        except Cancelled:
            return ring.ERROR, {"code": "engine.cancelled"}
        except Refused as refusal:
            return ring.ERROR, {"code": refusal.code, **refusal.names}
        except StatementRefused as refusal:
            return ring.ERROR, {
                "code": refusal.code,
                "sentence": refusal.sentence,
                "detail": dict(refusal.detail),
            }
        except Exception as error:  # noqa: BLE001  every kind is a code; its text must not leave the worker
            return ring.ERROR, {"code": "engine.cancelled"} if self._cancelled.is_set() else classify(error)

    def _answer(self, plan: Mapping[str, Any], sink: RingSink) -> dict[str, object]:
        sql: str = plan["sql"]
        self._check_statement(sql, plan)
        self._create_views(plan["views"])
        relation = self._execute(sql, plan["params"])
        types = [str(column[1]) for column in relation.description]
        reader = relation.to_arrow_reader(BATCH_ROWS)
        schema = reader.schema
        if plan["metadata"]:
            schema = schema.with_metadata({**(schema.metadata or {}), **plan["metadata"]})
        encoder = ENCODERS[Format(plan["format"])](schema, types, sink)
        rows, truncated = 0, False
        own_limit, policy_limit = plan["max_rows"], plan["policy_max_rows"]
        for whole in reader:
            if self._cancelled.is_set():
                raise Cancelled
            truncated = own_limit is not None and rows + whole.num_rows > own_limit
            batch = whole.slice(0, own_limit - rows) if truncated else whole
            rows += batch.num_rows
            if policy_limit is not None and rows > policy_limit:
                raise Refused("engine.max_rows", limit=policy_limit)
            if batch.num_rows:
                encoder.write(batch.replace_schema_metadata(schema.metadata) if plan["metadata"] else batch)
            if truncated:
                break
        encoder.close(truncated=truncated, rows=rows)
        sink.flush()
        return {
            "rows": rows,
            "truncated": truncated,
            "bytes": sink.bytes_written,
            "sha256": sink.digest(),
            "columns": [{"name": name, "type": type_} for name, type_ in zip(schema.names, types, strict=True)],
        }

    def _execute(self, sql: str, params: Any) -> duckdb.DuckDBPyConnection:
        return self._connection.execute(sql, params) if params else self._connection.execute(sql)

    def _check_statement(self, sql: str, plan: Mapping[str, Any]) -> None:
        """The second gate: DuckDB's own parser must see one SELECT over exactly the planned names."""
        row = self._connection.execute(parse.SERIALIZE, [sql]).fetchone()
        assert row is not None
        parse.check(row[0], tables=frozenset(tuple(name) for name in plan["tables"]))

    def _create_views(self, views: Sequence[Mapping[str, str]]) -> None:
        """A fresh catalogue with exactly these views; kept as it is when the next plan has the very same ones."""
        if views == self._views:
            return
        execute = self._connection.execute
        if self._views is not None:
            self._views = None
            execute(f"USE memory; DETACH {CATALOGUE}")
        execute(f"ATTACH ':memory:' AS {CATALOGUE}; USE {CATALOGUE}")
        try:
            for schema in dict.fromkeys(view["schema"] for view in views):
                execute(f"CREATE SCHEMA {identifier(schema)}")
            for view in views:
                execute(f"CREATE VIEW {identifier(view['schema'])}.{identifier(view['name'])} AS {view['select']}")
        except BaseException:
            execute(f"USE memory; DETACH {CATALOGUE}")
            raise
        self._views = views


def open_instance(options: Mapping[str, Any]) -> duckdb.DuckDBPyConnection:
    """An in-memory instance with the extension loaded, still unlocked, on one thread (so that Landlock can follow)."""
    duckdb.close()  # the module's default connection comes with a thread pool, and Landlock needs a single thread
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_unsigned_extensions": False,
        },
    )
    connection.execute(f"LOAD {literal(options['httpfs'])}")
    connection.execute("SET allow_persistent_secrets=false")  # refused once there is a secret
    # The first bound parameter makes the driver look for optional Python packages: not in a caller's time.
    connection.execute("SELECT ?::INTEGER", [1]).to_arrow_reader(1).read_all()
    return connection


def lock_instance(connection: duckdb.DuckDBPyConnection, options: Mapping[str, Any], allowed: Sequence[str]) -> None:
    """Close every door that DuckDB has, then throw away the key. The order matters: the lock comes last."""
    paths = ", ".join(literal(path) for path in allowed)
    for statement in (
        "SET allow_community_extensions=false",
        "SET python_enable_replacements=false",
        "SET s3_url_compatibility_mode=true",  # `?s3_endpoint=` and `[1]` in a key are plain characters
        "SET enable_global_s3_configuration=false",  # no credentials but the secrets
        "SET enable_http_metadata_cache=false",
        # Either cache takes a file that was rewritten in place within a second for the old one (decision 0007).
        "SET parquet_metadata_cache=false",
        "SET enable_external_file_cache=false",
        "SET preserve_insertion_order=true",
        "SET TimeZone='UTC'",
        f"SET home_directory={literal(options['temp_directory'])}",
        f"SET temp_directory={literal(options['temp_directory'])}",
        f"SET max_temp_directory_size='{int(options['spill_bytes'])}B'",
        f"SET memory_limit='{int(options['duckdb_memory_bytes'])}B'",
        f"SET threads={int(options['threads'])}",
        "SET max_expression_depth=250",
        f"SET allowed_directories=[{paths}]",
        "SET enable_external_access=false",
        "SET lock_configuration=true",
    ):
        connection.execute(statement)


def secret_statement(number: int, access: Mapping[str, Any]) -> str:
    """CREATE SECRET for one S3 storage, scoped to its bucket and prefix."""
    fields = {
        "KEY_ID": access["key_id"],
        "SECRET": access["secret"],
        "ENDPOINT": access["endpoint"],
        "REGION": access["region"],
        "URL_STYLE": "path" if access["path_style"] else "vhost",
        "SCOPE": access["scope"],
    }
    if access.get("session_token"):
        fields["SESSION_TOKEN"] = access["session_token"]
    body = ", ".join(f"{key} {literal(value)}" for key, value in fields.items())
    ssl = "true" if access["use_ssl"] else "false"
    return f"CREATE SECRET storage_{number} (TYPE s3, PROVIDER config, {body}, USE_SSL {ssl})"


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_COLUMN: Final = re.compile(r'Referenced column "([^"]{1,128})" not found|does not have a column named "([^"]{1,128})"')
_FUNCTION: Final = re.compile(r"No function matches the given name and argument types '([a-zA-Z0-9_]{1,64})\(")
_PARAMETER: Final = re.compile(r"Values were not provided for the following prepared statement parameters: ([\w, ]+)")

_BY_CLASS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (duckdb.InterruptException, "engine.cancelled"),
    (duckdb.OutOfMemoryException, "engine.memory"),
    (MemoryError, "engine.memory"),
    (duckdb.ParserException, "engine.syntax"),
    (duckdb.SyntaxException, "engine.syntax"),
    (duckdb.ConversionException, "engine.value"),
    (duckdb.OutOfRangeException, "engine.value"),
    (duckdb.InvalidInputException, "engine.value"),
    (duckdb.InvalidTypeException, "engine.type"),
    (duckdb.TypeMismatchException, "engine.type"),
    (duckdb.BinderException, "engine.bind"),
    (duckdb.CatalogException, "engine.unknown_name"),
    (duckdb.NotImplementedException, "engine.unsupported"),
    (duckdb.NotSupportedError, "engine.unsupported"),
    (duckdb.PermissionException, "engine.forbidden"),
    (duckdb.HTTPException, "engine.storage"),
    (duckdb.IOException, "engine.storage"),
    (duckdb.SerializationException, "engine.storage"),
    (duckdb.InternalException, "engine.failed"),
    (duckdb.FatalException, "engine.failed"),
    (pa.ArrowNotImplementedError, "engine.unsupported"),
    # An httpfs message quotes the server's answer, bytes and all, and the driver cannot raise it.
    (UnicodeDecodeError, "engine.storage"),
    # Encoders: a value that Python or the format has no form for, such as a date after the year 9999.
    (ValueError, "engine.unsupported"),
    (OverflowError, "engine.unsupported"),
)


def classify(error: BaseException) -> dict[str, object]:
    """An engine error as a code and at most the names that the caller wrote; its text stays here."""
    text = str(error)
    if isinstance(error, duckdb.BinderException):
        if found := _COLUMN.search(text):
            return {"code": "engine.unknown_column", "column": found.group(1) or found.group(2)}
        if found := _FUNCTION.search(text):
            return {"code": "engine.type", "function": found.group(1)}
    if isinstance(error, duckdb.InvalidInputException) and (found := _PARAMETER.search(text)):
        return {"code": "engine.params", "parameters": found.group(1)}
    if "bad_alloc" in text or "Out of Memory" in text or "could not allocate" in text.lower():
        return {"code": "engine.memory"}
    for class_, code in _BY_CLASS:
        if isinstance(error, class_):
            return {"code": code}
    return {"code": "engine.failed"}


def main() -> None:
    """The process, from its two inherited descriptors (see `start.py`); its options are the first frame."""
    sandbox.detach()
    control = socket.socket(fileno=int(sys.argv[1]))
    memory = ring.view(int(sys.argv[2]))
    frames = ring.read_frames(control)
    kind, payload = next(frames, (b"", b""))
    if kind != ring.PREPARE:
        return
    options = orjson.loads(payload)
    os.chdir(options["temp_directory"])
    Worker(control, memory, options).serve()
