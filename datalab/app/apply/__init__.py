"""`datalab apply`: a directory of YAML documents becomes what the gateway has registered.

The way: `reading` (files to entries), `references` (do they fit what will exist), `planning` (what differs from what is
registered), `running` (the changes, in order). Nothing is written before all of a directory was found in order.
"""

from datalab.app.apply.errors import ApplyFailed, ApplyRefused, Found
from datalab.app.apply.locations import Places
from datalab.app.apply.planning import Change, Plan, Planner
from datalab.app.apply.reading import Directory, Entry, read
from datalab.app.apply.registered import Registrations
from datalab.app.apply.running import Runner

__all__ = [
    "ApplyFailed",
    "ApplyRefused",
    "Change",
    "Directory",
    "Entry",
    "Found",
    "Places",
    "Plan",
    "Planner",
    "Registrations",
    "Runner",
    "read",
]
