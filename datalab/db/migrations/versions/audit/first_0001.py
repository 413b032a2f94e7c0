"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "audit_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_chains",
        sa.Column("chain", sa.String(length=32), nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("lease_until_us", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("chain", name=op.f("pk_audit_chains")),
    )
    with op.batch_alter_table("audit_chains", schema=None) as batch_op:
        batch_op.create_index("ix_audit_chains_ended", ["ended", "lease_until_us"], unique=False)

    op.create_table(
        "audit_links",
        sa.Column("chain", sa.String(length=32), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("space", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("provider", sa.String(length=63), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "seq", "space", "name", name=op.f("pk_audit_links")),
    )
    with op.batch_alter_table("audit_links", schema=None) as batch_op:
        batch_op.create_index("ix_audit_links_dataset", ["space", "name", "at_us"], unique=False)
        batch_op.create_index("ix_audit_links_provider", ["provider", "at_us"], unique=False)

    op.create_table(
        "audit_literals",
        sa.Column("ref", sa.String(length=64), nullable=False),
        sa.Column("salt", sa.String(length=64), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("ref", name=op.f("pk_audit_literals")),
    )
    op.create_table(
        "audit_open",
        sa.Column("ref", sa.String(length=64), nullable=False),
        sa.Column("chain", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("ref", name=op.f("pk_audit_open")),
    )
    with op.batch_alter_table("audit_open", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_open_chain"), ["chain"], unique=False)

    op.create_table(
        "audit_records",
        sa.Column("chain", sa.String(length=32), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("ref", sa.String(length=64), nullable=False),
        sa.Column("participant", sa.String(length=63), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("mac", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("chain", "seq", name=op.f("pk_audit_records")),
    )
    with op.batch_alter_table("audit_records", schema=None) as batch_op:
        batch_op.create_index("ix_audit_records_at", ["at_us", "chain", "seq"], unique=False)
        batch_op.create_index("ix_audit_records_kind", ["kind", "at_us"], unique=False)
        batch_op.create_index("ix_audit_records_participant", ["participant", "at_us"], unique=False)
        batch_op.create_index("ix_audit_records_ref", ["ref"], unique=False)

    connection = op.get_bind()
    for statement in APPEND_ONLY[connection.dialect.name]:
        connection.exec_driver_sql(statement)


APPEND_ONLY = {
    "sqlite": (
        "CREATE TRIGGER audit_records_update BEFORE UPDATE ON audit_records "
        "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END",
        "CREATE TRIGGER audit_records_delete BEFORE DELETE ON audit_records "
        "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END",
        "CREATE TRIGGER audit_links_update BEFORE UPDATE ON audit_links "
        "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END",
        "CREATE TRIGGER audit_links_delete BEFORE DELETE ON audit_links "
        "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END",
        "CREATE TRIGGER audit_literals_update BEFORE UPDATE ON audit_literals "
        "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END",
    ),
    "postgresql": (
        "CREATE OR REPLACE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit trail is append-only'; END $$",
        "CREATE TRIGGER audit_records_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_records "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()",
        "CREATE TRIGGER audit_links_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_links "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()",
        "CREATE TRIGGER audit_literals_append_only BEFORE UPDATE OR TRUNCATE ON audit_literals "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()",
    ),
}
"""The engine itself refuses changes. Written out: a migration outlives the code beside it."""
