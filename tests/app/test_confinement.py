"""A gateway that must confine its workers does not start where the kernel cannot."""

from __future__ import annotations

import pytest

from datalab.app import check
from datalab.app.check import problems_of
from datalab.app.settings import EngineSettings, Settings


@pytest.mark.parametrize(("abi", "required", "refused"), [(0, True, True), (0, False, False), (1, True, False)])
def test_required_landlock_that_the_kernel_lacks_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, abi: int, required: bool, refused: bool
) -> None:
    monkeypatch.setattr(check, "landlock_abi", lambda: abi)
    settings = Settings(engine=EngineSettings(require_landlock=required))
    assert any("REQUIRE_LANDLOCK" in problem for problem in problems_of(settings, None)) is refused
