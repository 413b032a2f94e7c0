"""The options that several verbs share, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="DATALAB_HOME", help="The gateway's home directory.", show_envvar=True)
]
