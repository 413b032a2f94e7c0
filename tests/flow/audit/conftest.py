"""A caller and an audit trail."""

from __future__ import annotations

from pathlib import Path

import pytest

from datalab.flow.principal import Principal
from tests.flow.audit.audited import AuditHome, principal


@pytest.fixture
def audit_home(tmp_path: Path) -> AuditHome:
    return AuditHome(tmp_path / "audit.db")


@pytest.fixture
def caller() -> Principal:
    return principal()
