"""The command lines of the container and of the unit, run as plain processes on a home of their own."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.running import run, serving

DEPLOY = Path(__file__).parents[2] / "deploy"
HOME = "/var/lib/datalab/home"


def container_command() -> list[str]:
    """ENTRYPOINT and CMD of the image, without the program's own name."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    entrypoint, command = (
        json.loads(found) for found in re.findall(r"^(?:ENTRYPOINT|CMD) (\[.*\])$", text, re.MULTILINE)
    )
    assert entrypoint == ["datalab"]
    return [str(word) for word in command]


def unit_command() -> list[str]:
    text = (DEPLOY / "datalab.service").read_text(encoding="utf-8")
    found = re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)
    assert found is not None
    program, *words = shlex.split(found.group(1))
    assert program == "/opt/datalab/bin/datalab"
    return words


def health_program() -> str:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    found = re.search(r"^HEALTHCHECK .* CMD (\[.*\])$", text, re.MULTILINE)
    assert found is not None
    interpreter, option, program = json.loads(found.group(1))
    assert (interpreter, option) == ("python", "-c")
    return str(program)


@pytest.mark.parametrize("command", [container_command(), unit_command()], ids=["container", "unit"])
def test_the_command_line_serves_and_its_health_check_passes(command: list[str], tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    assert run("init", "--home", home).returncode == 0
    # As it stands, but for the place of the home and the address: a test listens on loopback, on a free port.
    here = {HOME: home, "0.0.0.0": "127.0.0.1", "8080": "0"}
    words = [here.get(word, word) for word in command]
    with serving(words, {}, DATALAB_SERVER_PORT="0") as running:
        assert httpx2.get(running.url + "/readyz").status_code == 200
        program = health_program().replace("http://127.0.0.1:8080", running.url)
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    assert subprocess.run([sys.executable, "-c", program], check=False, capture_output=True).returncode != 0
