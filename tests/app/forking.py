"""Runs `datalab apply` in children forked from a process that has everything loaded: one request per line of its input.

A line: home, directory, file of secrets, file for what the child prints. The answer: the child's process id.
"""

from __future__ import annotations

import os
import sys

import datalab.cli.apply
from datalab.cli.main import main


def serve() -> None:
    assert datalab.cli.apply.app is not None
    for line in sys.stdin:
        home, directory, secrets, printed = line.split()
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            descriptor = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            main(["apply", "--home", home, "-f", directory, "--secrets", secrets])
        print(child, flush=True)
        _reap()


def _reap() -> None:
    """Children that ended before."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


if __name__ == "__main__":
    serve()
