"""Hostile files: each refused with its code, by a process whose end is not the gateway's."""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow.parquet import encryption

from datalab.publish.errors import FileProblem, FilesRefused, InspectionFailed
from datalab.publish.footer import FooterRefused, check_chunks, footer_length, read_schema
from datalab.publish.inspection import Inspected
from tests.publish import hostile

Inspect = Callable[..., Inspected]
CODE = re.compile(r"(publish|storage)\.[a-z_]+")


def honest(columns: int = 4, rows: int = 50) -> bytes:
    """A real file with strings, numbers, nulls, lists and several row groups."""
    sink = pa.BufferOutputStream()
    table = pa.table(
        {f"column {n}": [None if row % 7 == 0 else f"value {row}" for row in range(rows)] for n in range(columns)}
        | {"n": list(range(rows)), "l": [[row] for row in range(rows)]}
    )
    pq.write_table(table, sink, row_group_size=20)
    return bytes(sink.getvalue())


def refusal(inspect: Inspect) -> FilesRefused:
    with pytest.raises(FilesRefused) as caught:
        inspect()
    return caught.value


def test_the_corpus_is_refused_file_by_file_with_its_codes(lake: Path, inspect_lake: Inspect) -> None:
    for name, (content, _code) in hostile.CASES.items():
        (lake / f"{name}.parquet").write_bytes(content)
    found = refusal(inspect_lake)
    codes = {problem.path.removesuffix(".parquet"): problem.code for problem in found.problems}
    assert codes == {name: code for name, (_content, code) in hostile.CASES.items()}
    assert found.code == "publish.files"


def test_sentences_name_the_file_and_nothing_of_the_machine(lake: Path, inspect_lake: Inspect) -> None:
    for name, (content, _code) in hostile.CASES.items():
        (lake / f"{name}.parquet").write_bytes(content)
    for problem in refusal(inspect_lake).problems:
        assert problem.sentence.startswith(problem.path)
        assert problem.sentence.endswith(".")
        assert not re.search(r"/tmp|0x|Error|pyarrow|thrift|Traceback", problem.sentence.removeprefix(problem.path))


def test_a_plain_file_made_by_hand_is_accepted(lake: Path, inspect_lake: Inspect) -> None:
    """Else the corpus might be refused for a fault of its writer."""
    (lake / "a.parquet").write_bytes(hostile.file(hostile.footer()))
    found = inspect_lake()
    assert [(column.name, column.type) for column in found.columns] == [("id", "BIGINT")]
    assert found.row_count == 1


def test_a_file_that_ends_the_process_is_found_among_honest_ones(lake: Path, inspect_lake: Inspect) -> None:
    for number in range(5):
        (lake / f"{number}.parquet").write_bytes(hostile.file(hostile.footer()))
    (lake / "3.parquet").write_bytes(hostile.CRASHER)
    found = refusal(inspect_lake)
    assert found.code == "publish.corrupt"
    assert [problem.path for problem in found.problems] == ["3.parquet"]
    assert "ended the process" in found.sentence


def test_what_is_known_to_end_the_process_is_named(lake: Path, inspect_lake: Inspect) -> None:
    (lake / "0.parquet").write_bytes(hostile.file(hostile.footer(rows=9)))
    (lake / "1.parquet").write_bytes(hostile.UNSIGNED)
    (lake / "2.parquet").write_bytes(hostile.CRASHER)
    found = refusal(inspect_lake)
    assert [(problem.path, problem.code) for problem in found.problems] == [
        ("0.parquet", "publish.inconsistent"), ("1.parquet", "publish.encrypted"), ("2.parquet", "publish.corrupt"),
    ]  # fmt: skip


def test_really_encrypted_files_are_refused(lake: Path, inspect_lake: Inspect) -> None:
    class Keys(encryption.KmsClient):  # type: ignore[misc]  # pyarrow has no types
        def __init__(self, _configuration: object) -> None:
            super().__init__()

        def wrap_key(self, key: bytes, _master: str) -> bytes:
            return key.hex().encode()

        def unwrap_key(self, key: bytes, _master: str) -> bytes:
            return bytes.fromhex(key.decode())

    for plain in (False, True):
        configuration = encryption.EncryptionConfiguration(
            footer_key="f", column_keys={"c": ["a"]}, plaintext_footer=plain
        )
        properties = encryption.CryptoFactory(Keys).file_encryption_properties(
            encryption.KmsConnectionConfig(), configuration
        )
        table = pa.table({"a": [1], "b": [2]})
        with pq.ParquetWriter(lake / f"{plain}.parquet", table.schema, encryption_properties=properties) as writer:
            writer.write_table(table)
    found = refusal(inspect_lake)
    assert found.code == "publish.encrypted"
    assert len(found.problems) == 2


def test_a_file_cut_anywhere_is_refused(lake: Path, inspect_lake: Inspect) -> None:
    content = honest()
    footer_start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    cuts = {0, 1, 3, 4, 5, 8, 11, 12, 13, 100, footer_start - 1, footer_start, footer_start + 1, len(content) - 9}
    cuts |= {len(content) - left for left in range(1, 9)}
    cuts |= {random.Random(7).randrange(len(content)) for _ in range(40)}
    for cut in cuts:
        (lake / f"{cut:06}.parquet").write_bytes(content[:cut])
    found = refusal(inspect_lake)
    assert {problem.path for problem in found.problems} == {f"{cut:06}.parquet" for cut in cuts}


def test_a_file_whose_middle_is_missing_is_refused(lake: Path, inspect_lake: Inspect) -> None:
    content = honest()
    footer_start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    (lake / "a.parquet").write_bytes(content[: footer_start // 2] + content[footer_start:])
    assert refusal(inspect_lake).code == "publish.corrupt"


def _flipped(content: bytes, source: random.Random) -> bytes:
    """One to four bits of the footer or trailer changed, or a few of its bytes replaced."""
    footer_start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    changed = bytearray(content)
    for _ in range(source.randint(1, 4)):
        position = source.randrange(footer_start, len(content))
        changed[position] = (
            source.randrange(256) if source.random() < 0.5 else changed[position] ^ 1 << source.randrange(8)
        )
    return bytes(changed)


def _problems(inspect_lake: Inspect) -> tuple[FileProblem, ...]:
    try:
        inspect_lake()
    except FilesRefused as found:
        return found.problems
    return ()


def _survives(lake: Path, inspect_lake: Inspect, files: int, seed: int) -> None:
    """However many of these files end a process: the answer is a refusal with stable codes, or a table."""
    content, source = honest(), random.Random(seed)
    for number in range(files):
        (lake / f"{number:04}.parquet").write_bytes(_flipped(content, source))
    for _ in range(files):
        problems = _problems(inspect_lake)
        if not problems:
            return
        assert all(CODE.fullmatch(problem.code) for problem in problems)
        for problem in problems:
            (lake / problem.path).unlink()
        if not any(lake.iterdir()):
            return


@pytest.mark.parametrize("seed", range(3))
def test_flipped_footers_never_break_the_gateway(seed: int, lake: Path, inspect_lake: Inspect) -> None:
    _survives(lake, inspect_lake, 100, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 112))
def test_many_flipped_footers_never_break_the_gateway(seed: int, lake: Path, inspect_lake: Inspect) -> None:
    _survives(lake, inspect_lake, 300, seed)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.binary(max_size=400)
    | st.builds(lambda n, b: hostile.footer()[:n] + b, st.integers(0, 60), st.binary(max_size=60))
)
def test_our_own_reading_of_footers_refuses_or_answers(data: bytes) -> None:
    for read in (read_schema, check_chunks):
        with contextlib.suppress(FooterRefused):
            read(data)


@given(st.binary(max_size=12), st.integers(0, 1 << 40))
def test_no_trailer_makes_us_read_before_the_file(tail: bytes, size_bytes: int) -> None:
    try:
        length = footer_length(tail, size_bytes)
    except FooterRefused:
        return
    assert 0 < length <= size_bytes - 12


def test_a_footer_of_many_megabytes_is_bounded(lake: Path, inspect_lake: Inspect) -> None:
    many = hostile.footer(rows=200_000, groups=[hostile.row_group([hostile.chunk()])] * 200_000)
    (lake / "many groups.parquet").write_bytes(hostile.file(many))
    large = hostile.footer(extra=[(6, hostile.BINARY, hostile.text(bytes(33 << 20)))])
    (lake / "large.parquet").write_bytes(hostile.file(large))
    found = refusal(inspect_lake)
    assert {problem.path: problem.code for problem in found.problems} == {
        "large.parquet": "publish.footer_too_large", "many groups.parquet": "publish.implausible",
    }  # fmt: skip


def test_memory_of_an_inspector_is_bounded(lake: Path, inspect_lake: Inspect) -> None:
    wide = [hostile.root(4000), *(hostile.leaf(f"c{number}") for number in range(4000))]
    chunks = [hostile.chunk(path=[f"c{number}"]) for number in range(4000)]
    (lake / "a.parquet").write_bytes(
        hostile.file(hostile.footer(wide, rows=60, groups=[hostile.row_group(chunks)] * 60))
    )
    with pytest.raises((FilesRefused, InspectionFailed)):
        inspect_lake(memory_bytes=64 << 20)
