"""The deployment files: lint and schema checks, and that the settings they name exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCUMENTED = set(
    re.findall(r"^\| `(DATALAB_\w+)` \|", (ROOT / "docs" / "settings.md").read_text(encoding="utf-8"), re.MULTILINE)
)


def tool(name: str) -> str:
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    assert found is not None, f"{name} is not installed"
    return found


def test_the_dockerfile_passes_hadolint() -> None:
    done = subprocess.run([tool("hadolint"), str(DEPLOY / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_compose_file_fits_its_schema() -> None:
    arguments = [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml")]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_gateway_container_is_confined() -> None:
    gateway = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]["gateway"]
    assert gateway["read_only"] is True
    assert gateway["cap_drop"] == ["ALL"]
    assert "ports" not in gateway  # only the proxy is reached from outside
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^USER 10001:10001$", dockerfile, re.MULTILINE)


def test_the_environment_file_has_every_setting_and_no_other() -> None:
    text = (DEPLOY / "datalab.env.example").read_text(encoding="utf-8")
    named = set(re.findall(r"^#(DATALAB_\w+)=", text, re.MULTILINE))
    server = {name for name in DOCUMENTED if name not in {"DATALAB_CLIENT_ID", "DATALAB_CLIENT_SECRET", "DATALAB_URL"}}
    assert named - {"DATALAB_HOME"} == server - {"DATALAB_HOME"}


@pytest.mark.parametrize("file", ["compose.yaml", "Dockerfile", "datalab.service"])
def test_a_deployment_file_names_only_settings_that_exist(file: str) -> None:
    text = (DEPLOY / file).read_text(encoding="utf-8")
    own = {"DATALAB_HOME", "DATALAB_PUBLIC_URL", "DATALAB_HOST"}  # the compose file's own variables
    assert set(re.findall(r"\bDATALAB_[A-Z_]+\b", text)) <= DOCUMENTED | own
