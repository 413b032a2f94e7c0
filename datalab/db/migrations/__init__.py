"""Bringing a database to the form that this version of the gateway needs."""

from datalab.db.migrations.upgrade import migrate as migrate

__all__ = ["migrate"]
