"""`datalab demo`: a complete gateway on real sector data, for trying it out.

Owns the content in `content/` (loaded by path, never imported) and what makes a home of it. Must never do anything that
another gateway could not do with `init`, `apply` and `serve`.
"""

from datalab.app.demo.commands import commands
from datalab.app.demo.home import DemoHome, prepare

__all__ = ["DemoHome", "commands", "prepare"]
