"""The first lines of a worker process: `python -m datalab.flow.start CONTROL_FD RING_FD`.

Owns what must be true before anything else is imported: numpy and pandas, optional guests of pyarrow and duckdb, are as good as
not installed. They cost half a second and start threads, which Landlock does not bear.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import Final

UNWANTED: Final = frozenset({"numpy", "pandas"})


class Absent(MetaPathFinder):
    """Answers as if these packages were not there; an entry in `sys.modules` would look like a broken one instead."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname in UNWANTED:
            raise ModuleNotFoundError(f"no {fullname} in a worker", name=fullname)


def main() -> None:
    sys.meta_path.insert(0, Absent())
    from datalab.flow.worker import main as work

    work()


if __name__ == "__main__":
    main()
