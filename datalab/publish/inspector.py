"""The program of an inspector process: reads the footers of one dataset's files, reports, and ends.

It is started anew for each inspection, never serves queries, and gives up all rights it does not need before it looks at
a file: what a hostile footer breaks is this process alone. Must never write to its standard output but frames, nor put a
library's words into one.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

# Nothing here may start a thread when imported, as duckdb and pyarrow do: Landlock binds one thread and its children.
from datalab.flow import sandbox
from datalab.publish.agreement import TableSchema
from datalab.publish.footer import FooterRefused, FooterSchema, shown
from datalab.publish.frames import read_frame, write_frame
from datalab.publish.partitions import PartitionKey, segments
from datalab.publish.source import connect, files_of, source_of

MAX_FILE_BYTES: Final = 64 << 20  # it writes footers, one at a time
SCALARS: Final = frozenset({
    "boolean", "tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger", "ubigint", "float",
    "double", "decimal", "varchar", "blob", "date", "time", "time with time zone", "timestamp", "timestamp_ns",
    "timestamp with time zone", "uuid", "interval",
})  # fmt: skip
"""DuckDB's names of the scalar types that a column may have; lists, structs and maps of them too. Documented."""


class Engine:
    """DuckDB's view of schemas. It sees files of our own making that hold a provider's footer and nothing else.

    path: a data file's path, whose partitions stand for all; keys: the partitions and their types.
    """

    def __init__(self, directory: Path, path: str, keys: Sequence[PartitionKey]) -> None:
        import duckdb

        types = ", ".join(f"{quoted_name(key.name)}: {key.type}" for key in keys)
        self._hive = f"hive_partitioning=true, hive_types={{{types}}}" if keys else "hive_partitioning=false"
        self._place = "/".join(f"{key}={value}" for key, value in segments(path)) if keys else ""
        self._partitions = tuple(key.name for key in keys)
        self._directory = directory
        self._count = 0
        self._error = duckdb.Error
        self._connection = duckdb.connect(":memory:")
        for statement in (
            "SET autoinstall_known_extensions=false",
            "SET autoload_known_extensions=false",
            "SET allow_community_extensions=false",
            "SET enable_external_file_cache=false",
            "SET threads=1",
            "SET memory_limit='256MB'",
            f"SET allowed_directories=[{quoted(str(directory))}]",
            "SET enable_external_access=false",
            "SET lock_configuration=true",
        ):
            self._connection.execute(statement)

    def describe(self, footer: bytes, schema: FooterSchema) -> TableSchema:
        """All columns, those of the partitions last, and the Arrow schema in which DuckDB would answer.

        Raises:
            FooterRefused: DuckDB cannot read it, sees other columns than we do, or a type is not supported.
        """
        own = {name.casefold(): name for name in schema.names}
        for key in self._partitions:
            if key.casefold() in own:
                raise FooterRefused(
                    "publish.partition_column",
                    f"lies in a partition named {shown(key)}, and has a column {shown(own[key.casefold()])}: "
                    "rename one of them",
                )
        self._count += 1  # a name of its own: DuckDB's caches know files by name, size and second
        file = self._directory / str(self._count) / self._place / "footer.parquet"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")
        try:
            relation = self._connection.execute(
                f"SELECT * FROM read_parquet([{quoted(str(file))}], {self._hive}, union_by_name=false, filename=false) "
                "LIMIT 0"
            )
            described = [(str(name), type_) for name, type_, *_rest in relation.description]
            check_types(described)
            # A reader of single rows: a table would allocate room for a million rows of every column.
            arrow = relation.to_arrow_reader(1).schema.serialize().to_pybytes()
        except (self._error, RuntimeError, ValueError):
            raise FooterRefused("publish.corrupt", "is corrupt: the engine cannot read its footer") from None
        finally:
            file.unlink()
        if tuple(name for name, _type in described) != (*schema.names, *self._partitions):
            raise FooterRefused("publish.corrupt", "is corrupt: its footer holds two schemas")
        columns = tuple((name, str(type_)) for name, type_ in described)
        return TableSchema(columns, schema.nullable + (True,) * len(self._partitions), arrow)


def check_types(columns: Sequence[tuple[str, Any]]) -> None:
    """Raises FooterRefused: a column has a type that we do not serve."""
    for name, type_ in columns:
        unsupported = unsupported_type(type_)
        if unsupported is not None:
            raise FooterRefused(
                "publish.type", f"has column {shown(name)} of type {unsupported}, which is not supported"
            )


def unsupported_type(type_: Any) -> str | None:
    """The first part of a DuckDB type that a column may not have; None: it is supported."""
    if str(type_) == "JSON":
        return None
    if type_.id in {"list", "struct", "map"}:
        children = [child for _name, child in type_.children]
        return next((found for child in children if (found := unsupported_type(child)) is not None), None)
    return None if type_.id in SCALARS else str(type_)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def quoted_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def confine(request: Mapping[str, Any], directories: Sequence[str], ports: Sequence[int]) -> None:
    """Gives up rights and bounds what this process may use; it has one thread yet."""
    sandbox.detach()
    confined = sandbox.landlock(readable=directories, writable=[request["directory"]], connect_ports=ports)
    if not confined and request["require_landlock"]:
        raise SystemExit("the kernel has no Landlock, and the settings require it")
    cpu_s = int(request["cpu_s"])
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))


def run(request: Mapping[str, Any], output: IO[bytes]) -> None:
    """Inspects and writes frames: `{"done": n}` as it goes or, when careful, `{"at": n}` and `{"problem": ...}`; then a result."""
    directory = Path(request["directory"])
    source = source_of(request["source"], directory)
    confine(request, source.directories, source.ports)
    sys.modules["numpy"] = None  # type: ignore[assignment]  # documented: hides it; pyarrow spends half its start on it
    from datalab.publish.survey import Survey

    files = files_of(request["files"])
    keys = [PartitionKey(name, type_) for name, type_ in request["partitions"]]
    engine = Engine(directory, files[0].path, keys)
    sandbox.limit(memory_bytes=int(request["memory_bytes"]), file_bytes=MAX_FILE_BYTES)
    with connect(source) as connector:
        survey = Survey(files, connector, engine.describe, careful=request["careful"])
        if request["careful"]:
            result = survey.run_one_by_one(
                lambda index: write_frame(output, {"at": index}),
                lambda problem: write_frame(output, {"problem": problem}),
            )
        else:
            result = survey.run(int(request["threads"]), lambda done: write_frame(output, {"done": done}))
    write_frame(output, {"result": result})


def main() -> None:
    """Reads one request from standard input; frames go to what standard output was, which nothing else can write to."""
    output = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    request = read_frame(sys.stdin.buffer)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    if not isinstance(request, Mapping):
        raise SystemExit(2)
    run(request, output)
    output.close()
    os._exit(0)  # destructors of libraries that met hostile input have nothing left to do


if __name__ == "__main__":
    main()
