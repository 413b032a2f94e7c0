"""Bringing a database to the form that this version of the gateway needs."""

from datalab.db.migrations.upgrade import is_current as is_current
from datalab.db.migrations.upgrade import migrate as migrate
from datalab.db.migrations.upgrade import migrate_audit as migrate_audit

__all__ = ["is_current", "migrate", "migrate_audit"]
