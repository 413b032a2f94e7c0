"""What the page for providers says of files is what the inspector does."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.contract import MAX_FILES
from datalab.publish import footer
from datalab.publish.examine import CODECS, MAX_ROW_GROUPS
from datalab.publish.inspector import SCALARS

PAGE = (Path(__file__).parents[2] / "docs" / "provider.md").read_text()
SECTION = PAGE.split("### What files may hold")[1].split("\n## ")[0]


@pytest.mark.parametrize("type_", sorted(SCALARS))
def test_every_type_is_listed(type_: str) -> None:
    types = SECTION.split("**Types**: ")[1].split(", and lists")[0]
    listed = {one.split(" (")[0].strip() for one in types.replace("\n", " ").split(",")}
    assert type_.upper() in {" ".join(one.split()) for one in listed}


@pytest.mark.parametrize("codec", sorted(CODECS - {"UNCOMPRESSED"}))
def test_every_codec_is_listed(codec: str) -> None:
    assert codec.lower() in SECTION


@pytest.mark.parametrize(
    "limit",
    [
        f"{MAX_FILES:,} files", f"{footer.MAX_COLUMNS:,} columns", f"{footer.MAX_DEPTH} levels",
        f"{footer.MAX_FOOTER_BYTES >> 20} MiB", f"{MAX_ROW_GROUPS:,} row groups", f"{footer.MAX_NAME_BYTES} bytes",
        f"{footer.MAX_DECIMAL_DIGITS} digits",
    ],
)  # fmt: skip
def test_every_limit_is_said(limit: str) -> None:
    assert limit in SECTION
