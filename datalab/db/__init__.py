"""Storage: implements the ports of the packages below it with SQLAlchemy 2, on SQLite or PostgreSQL.

Must never be imported by `datalab.api`; only this package sees SQLAlchemy.
"""
