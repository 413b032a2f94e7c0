"""The README keeps its word: its commands, run against a demo, answer what stands there; and no page links to nowhere."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running import DATALAB, Running, demo, environment

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8080"
HOME = "demo-home"
NOT_OURS = {".git", ".venv", "node_modules", "build", "dist", ".mypy_cache", ".ruff_cache", ".pytest_cache"}

needs_programs = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("python3")), reason="the commands need curl and python3"
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Path]]:
    home = tmp_path_factory.mktemp("readme") / HOME
    with demo(home) as started:
        yield started, home


def block(after: str, language: str) -> str:
    """The first fenced block of that language behind a text of the README."""
    _, there, rest = README.partition(after)
    assert there, after
    found = re.search(rf"^```{language}\n(.*?)^```$", rest, re.MULTILINE | re.DOTALL)
    assert found, after
    return found[1]


def paste(command: str, home: Path) -> str:
    """What a shell beside the home answers."""
    done = subprocess.run(
        ["sh", "-eu"],
        input=command,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=home.parent,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def printed(number: int, running: Running) -> str:
    """A command that the demo prints: what follows its heading. The log comes after the last of them."""
    deadline = time.monotonic() + 30
    while not (last := [at for at, line in enumerate(running.output) if "with_position" in line]):
        assert time.monotonic() < deadline, "the demo never printed its commands"
        time.sleep(0.05)
    sections = re.split(r"^# \d\. .*$", "".join(running.output[: last[0] + 1]), flags=re.MULTILINE)
    return sections[number]


@needs_programs
@pytest.mark.xdist_group("demo")
def test_the_first_command_answers_what_the_readme_says(running: tuple[Running, Path]) -> None:
    started, home = running
    command = block("<!-- demo: 1 -->", "sh")
    assert ADDRESS in command
    answer: Any = json.loads(paste(command.replace(ADDRESS, started.url), home))
    assert answer == json.loads(block("<!-- demo: 1 -->", "json"))


@needs_programs
@pytest.mark.xdist_group("demo")
@pytest.mark.parametrize(("number", "heading"), [(2, "**2. Python"), (3, "**3. DuckDB")])
def test_the_commands_that_the_demo_prints_answer_what_the_readme_says(
    number: int, heading: str, running: tuple[Running, Path]
) -> None:
    started, home = running
    assert paste(printed(number, started), home).strip() == block(heading, "text").strip()


@pytest.mark.xdist_group("demo")
def test_the_explaining_command_of_the_readme_works(running: tuple[Running, Path]) -> None:
    _, home = running
    found = re.search(r"`datalab (explain \S+ --credentials \S+ --as \S+)`", README)
    assert found
    assert "trial_for_developers" in paste(f"{shlex.quote(DATALAB)} {found[1]}", home)


def pages() -> Iterator[Path]:
    for file in sorted(ROOT.rglob("*.md")):
        if not NOT_OURS & set(file.relative_to(ROOT).parts[:-1]):
            yield file


def anchors(text: str) -> set[str]:
    """What a link may name within a page: its headings, as forges write them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(text: str) -> Iterator[str]:
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"`[^`\n]*`", "", prose)
    yield from re.findall(r"\]\(([^)\s]+)\)", prose)


def test_every_relative_link_leads_somewhere() -> None:
    lost = []
    seen = 0
    for page in pages():
        for link in links(page.read_text(encoding="utf-8")):
            if re.match(r"[a-z]+:", link):
                continue
            seen += 1
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            there = target.exists() and (not anchor or anchor in anchors(target.read_text(encoding="utf-8")))
            if not there:
                lost.append(f"{page.relative_to(ROOT)}: {link}")
    assert seen > 20
    assert lost == []
