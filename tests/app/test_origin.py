"""The parts of the distribution come from one place, or no command runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from datalab.app.origin import PACKAGES, require_one_origin


def test_the_parts_of_this_installation_belong_together() -> None:
    require_one_origin()


@pytest.mark.parametrize("package", [name for name in PACKAGES if name != "datalab"])
def test_a_foreign_package_of_the_same_name_stops_every_command(tmp_path: Path, package: str) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "datalab.cli.main", "check"],
        capture_output=True,
        text=True,
        env=environment,
        cwd="/",
        check=False,
    )
    assert done.returncode == 1
    assert f"{package} from {tmp_path}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_package_stops_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datalab.app.origin.PACKAGES", ("datalab", "no_such_package_anywhere"))
    from datalab.app.origin import OriginRefused

    with pytest.raises(OriginRefused, match="nowhere"):
        require_one_origin()
