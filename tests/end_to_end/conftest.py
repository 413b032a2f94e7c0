"""A gateway with the datasets of the hostile corpus and one of many rows, made and served by the `datalab` command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from tests.hostile.corpus import DATASETS
from tests.running import Running, run, serving

BIG_ROWS = 2_000_000
BIG = f"SELECT range AS id, 'row-' || range AS name, random() AS a, random() AS b, random() AS c FROM range({BIG_ROWS})"


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """On SQLite, with the clients of `opened`."""
    with opened(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@contextmanager
def opened(root: Path, **more: str) -> Iterator[Running]:
    """Clients: `clinic` (the provider and its admin), `maker` (may query), `nobody` (may nothing),
    `admin` (the gateway's operator). more: settings.
    """
    settings = {
        "DATALAB_STORAGE_LOCAL_ROOTS": str(root / "data"),
        "DATALAB_STREAM_IDLE_TIMEOUT_S": "3",
        "DATALAB_ENGINE_TIMEOUT_S": "8",
        "DATALAB_ENGINE_ACTIVE": "4",
        "DATALAB_SERVER_SHUTDOWN_TIMEOUT_S": "3",
        "DATALAB_STORAGE_ALLOWED_ENDPOINTS": "127.0.0.1",
        "DATALAB_STORAGE_ALLOW_HTTP": "true",
        **more,
    }
    names = write_data(root / "data")
    catalogue = root / "catalogue"
    catalogue.mkdir()
    (catalogue / "all.yaml").write_text(yaml.safe_dump_all(documents(root / "data", names)), encoding="utf-8")
    home, secrets = str(root / "home"), root / "secrets.json"
    made = run("init", "--home", home, "--json", **settings)
    assert made.returncode == 0, made.stdout + made.stderr
    applied = run("apply", "--home", home, "-f", str(catalogue), "--content", "--secrets", str(secrets), **settings)
    assert applied.returncode == 0, applied.stdout + applied.stderr
    first = json.loads(made.stdout)
    issued = json.loads(secrets.read_text(encoding="utf-8"))["clients"]
    clients = {key.partition("/")[0]: (one["client_id"], one["client_secret"]) for key, one in issued.items()}
    clients["admin"] = (first["client_id"], first["client_secret"])
    with serving(["serve", "--home", home, "--port", "0"], clients, **settings) as running:
        yield running


def write_data(directory: Path) -> list[str]:
    """One directory with one Parquet file for each dataset; their names."""
    sources = {name.partition(".")[2]: select for name, select in DATASETS.items()} | {"big": BIG}
    del sources["secret"]  # a word of the engine: no dataset can be called so, and demo.secret is simply unknown
    with duckdb.connect() as connection:
        for name, select in sources.items():
            (directory / name).mkdir(parents=True)
            connection.execute(f"COPY ({select}) TO '{directory}/{name}/part.parquet' (FORMAT parquet)")
    return list(sources)


def documents(data: Path, names: list[str]) -> list[dict[str, Any]]:
    """What `datalab apply` registers."""
    orgs = {"clinic": ("DE", "public"), "maker": ("FI", "startup"), "nobody": ("NL", "sme")}
    every = [
        "catalog:read",
        "storages:write",
        "datasets:write",
        "policies:write",
        "participants:write",
        "data:query",
        "audit:read",
    ]
    found: list[dict[str, Any]] = []
    for org, (country, kind) in orgs.items():
        found += [
            {
                "kind": "participant",
                "id": org,
                "type": kind,
                "legal_name": org.title(),
                "country": country,
                "status": "verified",
            },
            {
                "kind": "client",
                "participant": org,
                "name": "Test",
                "roles": ["member", "participant_admin"],
                "scopes": every,
            },
        ]
    found += [
        {"kind": "data_space", "id": "demo", "title": {"en": "Demo"}, "sector": "health", "operator": "clinic"},
        {
            "kind": "data_lab",
            "id": "lab",
            "title": {"en": "Lab"},
            "home": "lumi",
            "spaces": ["demo"],
            "operator": "clinic",
        },
        {"kind": "admission", "space": "demo", "participant": "clinic", "role": "provider"},
        {"kind": "admission", "space": "demo", "participant": "clinic", "role": "lab"},
        {"kind": "admission", "space": "demo", "participant": "maker", "role": "developer"},
        {"kind": "storage", "id": "disk", "type": "local", "participant": "clinic", "root": str(data)},
    ]
    for name in names:
        found += [
            {
                "kind": "dataset",
                "space": "demo",
                "name": name,
                "provider": "clinic",
                "lab": "lab",
                "title": {"en": name},
                "licence": "CC0-1.0",
                "storage": "disk",
                "location": f"{name}/",
                "status": "published",
            },
            {
                "kind": "policy",
                "id": f"{name}_for_maker",
                "title": f"{name} for makers",
                "scope": f"dataset:demo/{name}",
                "effect": "permit",
                "actions": ["query"],
                "when": 'principal.participant == "maker"',
            },
        ]
    return found
