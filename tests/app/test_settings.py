"""Settings: all problems at once, secrets masked, and every one of them on its page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from datalab.app.settings import MASK, NOT_SETTINGS, Settings, SettingsRefused, names, read_settings, shown

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [variable for variable, *_ in names()]:
        monkeypatch.delenv(variable, raising=False)


def problems(**variables: str) -> list[str]:
    with pytest.raises(SettingsRefused) as refused:
        read_settings(variables)
    return refused.value.problems


def test_every_setting_has_its_line_with_its_default_on_the_page() -> None:
    for variable, _, _, field in names():
        default = "none" if field.default in (None, ()) else f"`{str(field.default).lower()}`"
        line = next((line for line in PAGE.splitlines() if line.startswith(f"| `{variable}` |")), "")
        assert line.startswith(f"| `{variable}` | {default} | "), variable
        assert line.endswith(f"{field.description} |"), variable


def test_the_page_names_nothing_that_is_no_setting() -> None:
    known = {variable for variable, *_ in names()} | NOT_SETTINGS
    assert set(re.findall(r"DATALAB_[A-Z_]+[A-Z]", PAGE)) <= known


def test_all_problems_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALAB_ENGIN_ACTIVE", "2")
    found = problems(
        DATALAB_ENGINE_ACTIVE="none", DATALAB_ENGINE_TIMEOUT_S="-1", DATALAB_DATABASE_URL="mysql://u:hunter2@h/d"
    )
    assert [one.split(" ")[0].rstrip(":") for one in found] == [
        "DATALAB_ENGIN_ACTIVE",
        "DATALAB_ENGINE_ACTIVE",
        "DATALAB_ENGINE_TIMEOUT_S",
        "DATALAB_DATABASE_URL",
    ]
    assert "hunter2" not in str(found)


def test_a_misspelt_name_within_a_group_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALAB_ENGINE_WORKERS", "2")
    assert problems() == ["DATALAB_ENGINE_WORKERS is not a setting"]


def test_values_come_from_the_environment_and_are_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALAB_ENGINE_TIMEOUT_S", "5")
    monkeypatch.setenv("DATALAB_STORAGE_LOCAL_ROOTS", "/srv/a, /srv/b")
    settings = read_settings()
    assert settings.engine.timeout_s == 5
    assert settings.storage.local_roots == (Path("/srv/a"), Path("/srv/b"))
    with pytest.raises(ValidationError):
        settings.engine.timeout_s = 6


def test_what_is_given_counts_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALAB_SERVER_PORT", "1")
    monkeypatch.setenv("DATALAB_SERVER_HOST", "127.0.0.2")
    server = read_settings({"DATALAB_SERVER_PORT": "2"}).server
    assert (server.host, server.port) == ("127.0.0.2", 2)


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALAB_DATABASE_URL", "postgresql+psycopg://user:hunter2@host/db")
    settings = read_settings()
    assert shown(settings)["DATALAB_DATABASE_URL"] == MASK
    assert "hunter2" not in f"{shown(settings)}{settings!r}{settings}"
    assert settings.database.url is not None
    assert "hunter2" in settings.database.url.get_secret_value()


@pytest.mark.parametrize(
    "url",
    [
        "http://data.example.org",
        "https://data.example.org/path",
        "https://data.example.org?x=1",
        "https://user:password@data.example.org",
        "ftp://data.example.org",
        "data.example.org",
        "https://",
    ],
)
def test_a_public_url_is_an_https_origin(url: str) -> None:
    assert problems(DATALAB_SERVER_PUBLIC_URL=url)[0].startswith("DATALAB_SERVER_PUBLIC_URL: must be")


def test_a_public_url_loses_its_last_slash() -> None:
    assert read_settings({"DATALAB_SERVER_PUBLIC_URL": "https://a.example/"}).server.public_url == "https://a.example"


def test_plain_http_is_for_loopback_only() -> None:
    assert (
        read_settings({"DATALAB_SERVER_PUBLIC_URL": "http://127.0.0.1:80"}).server.public_url == "http://127.0.0.1:80"
    )


def test_listening_on_more_than_loopback_needs_a_public_url() -> None:
    assert "DATALAB_SERVER_PUBLIC_URL is needed" in problems(DATALAB_SERVER_HOST="0.0.0.0")[0]


@pytest.mark.parametrize("endpoint", ["10.0.0.0/99", "http://minio", "user@minio", "minio:9000"])
def test_an_allowed_endpoint_is_a_host_or_a_network(endpoint: str) -> None:
    assert problems(DATALAB_STORAGE_ALLOWED_ENDPOINTS=endpoint)[0].startswith("DATALAB_STORAGE_ALLOWED_ENDPOINTS: ")


def test_oauth_without_tls_cannot_be_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    assert "AUTHLIB_INSECURE_TRANSPORT" in problems()[0]


def test_relative_roots_are_refused() -> None:
    assert problems(DATALAB_STORAGE_LOCAL_ROOTS="data")[0].endswith("must be an absolute path")


def test_no_secret_has_a_default() -> None:
    settings = Settings()
    assert settings.database.url is None
    assert settings.audit.database_url is None
