"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "main_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ai_factories",
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("consortium", sa.JSON(), nullable=False),
        sa.Column("supercomputer_name", sa.Text(), nullable=True),
        sa.Column("supercomputer_status", sa.String(length=40), nullable=True),
        sa.Column("sectors", sa.JSON(), nullable=False),
        sa.Column("factory", sa.String(length=63), nullable=True),
        sa.Column("homepage", sa.Text(), nullable=True),
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["factory"], ["ai_factories.id"], name=op.f("fk_ai_factories_factory_ai_factories")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_ai_factories")),
        sa.UniqueConstraint("id", name=op.f("uq_ai_factories_id")),
    )
    with op.batch_alter_table("ai_factories", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ai_factories_factory"), ["factory"], unique=False)

    op.create_table(
        "names",
        sa.Column("namespace", sa.String(length=80), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("owner", sa.String(length=63), nullable=False),
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("namespace", "name", name=op.f("pk_names")),
    )
    op.create_table(
        "oauth_clients",
        sa.Column("client_id", sa.String(length=76), nullable=False),
        sa.Column("participant", sa.String(length=63), nullable=False),
        sa.Column("participant_uid", sa.String(length=32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("client_id", name=op.f("pk_oauth_clients")),
    )
    with op.batch_alter_table("oauth_clients", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_oauth_clients_participant_uid"), ["participant_uid"], unique=False)

    op.create_table(
        "oauth_revoked_tokens",
        sa.Column("issuer", sa.String(length=255), nullable=False),
        sa.Column("token_id", sa.String(length=255), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("issuer", "token_id", name=op.f("pk_oauth_revoked_tokens")),
    )
    with op.batch_alter_table("oauth_revoked_tokens", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_oauth_revoked_tokens_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "participants",
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("legal_name", sa.Text(), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("eu_funded_project", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=40), nullable=False),
        sa.Column("contact", sa.Text(), nullable=True),
        sa.Column("homepage", sa.Text(), nullable=True),
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_participants")),
        sa.UniqueConstraint("id", name=op.f("uq_participants_id")),
    )
    with op.batch_alter_table("participants", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_participants_country"), ["country"], unique=False)

    op.create_table(
        "policy_versions",
        sa.Column("policy_uid", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("policy_id", sa.String(length=63), nullable=False),
        sa.Column("scope", sa.String(length=160), nullable=False),
        sa.Column("document", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("author_issuer", sa.Text(), nullable=False),
        sa.Column("author_subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("policy_uid", "number", name=op.f("pk_policy_versions")),
    )
    with op.batch_alter_table("policy_versions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_policy_versions_policy_id"), ["policy_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_policy_versions_scope"), ["scope"], unique=False)

    op.create_table(
        "revision",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revision")),
    )
    op.create_table(
        "data_labs",
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("title", sa.JSON(), nullable=False),
        sa.Column("description", sa.JSON(), nullable=False),
        sa.Column("home", sa.String(length=63), nullable=False),
        sa.Column("operator", sa.String(length=63), nullable=False),
        sa.Column("services", sa.JSON(), nullable=False),
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["home"], ["ai_factories.id"], name=op.f("fk_data_labs_home_ai_factories")),
        sa.ForeignKeyConstraint(["operator"], ["participants.id"], name=op.f("fk_data_labs_operator_participants")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_data_labs")),
        sa.UniqueConstraint("id", name=op.f("uq_data_labs_id")),
    )
    with op.batch_alter_table("data_labs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_data_labs_home"), ["home"], unique=False)
        batch_op.create_index(batch_op.f("ix_data_labs_operator"), ["operator"], unique=False)

    op.create_table(
        "data_spaces",
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("title", sa.JSON(), nullable=False),
        sa.Column("description", sa.JSON(), nullable=False),
        sa.Column("sector", sa.String(length=80), nullable=False),
        sa.Column("operator", sa.String(length=63), nullable=True),
        sa.Column("rules", sa.Text(), nullable=True),
        sa.Column("homepage", sa.Text(), nullable=True),
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["operator"], ["participants.id"], name=op.f("fk_data_spaces_operator_participants")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_data_spaces")),
        sa.UniqueConstraint("id", name=op.f("uq_data_spaces_id")),
    )
    with op.batch_alter_table("data_spaces", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_data_spaces_operator"), ["operator"], unique=False)
        batch_op.create_index(batch_op.f("ix_data_spaces_sector"), ["sector"], unique=False)

    op.create_table(
        "jobs",
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("participant", sa.String(length=63), nullable=False),
        sa.Column("resource", sa.String(length=160), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("problem", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["participant"], ["participants.id"], name=op.f("fk_jobs_participant_participants")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_jobs")),
    )
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_jobs_participant"), ["participant"], unique=False)
        batch_op.create_index(batch_op.f("ix_jobs_resource"), ["resource"], unique=False)
        batch_op.create_index(batch_op.f("ix_jobs_state"), ["state"], unique=False)

    op.create_table(
        "oauth_client_roles",
        sa.Column("client_id", sa.String(length=76), nullable=False),
        sa.Column("role", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"], ["oauth_clients.client_id"], name=op.f("fk_oauth_client_roles_client_id_oauth_clients")
        ),
        sa.PrimaryKeyConstraint("client_id", "role", name=op.f("pk_oauth_client_roles")),
    )
    with op.batch_alter_table("oauth_client_roles", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_oauth_client_roles_role"), ["role"], unique=False)

    op.create_table(
        "oauth_client_secrets",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("client_id", sa.String(length=76), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["client_id"], ["oauth_clients.client_id"], name=op.f("fk_oauth_client_secrets_client_id_oauth_clients")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oauth_client_secrets")),
    )
    with op.batch_alter_table("oauth_client_secrets", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_oauth_client_secrets_client_id"), ["client_id"], unique=False)

    op.create_table(
        "policies",
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("scope", sa.String(length=160), nullable=False),
        sa.Column("owner", sa.String(length=63), nullable=True),
        sa.Column("current", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["owner"], ["participants.id"], name=op.f("fk_policies_owner_participants")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_policies")),
        sa.UniqueConstraint("id", name=op.f("uq_policies_id")),
    )
    with op.batch_alter_table("policies", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_policies_owner"), ["owner"], unique=False)
        batch_op.create_index(batch_op.f("ix_policies_scope"), ["scope"], unique=False)

    op.create_table(
        "storages",
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("participant", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("root", sa.Text(), nullable=True),
        sa.Column("endpoint", sa.Text(), nullable=True),
        sa.Column("bucket", sa.Text(), nullable=True),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("path_style", sa.Boolean(), nullable=False),
        sa.Column("ca_pem", sa.Text(), nullable=True),
        sa.Column("credentials", sa.LargeBinary(), nullable=True),
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["participant"], ["participants.id"], name=op.f("fk_storages_participant_participants")
        ),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_storages")),
        sa.UniqueConstraint("id", name=op.f("uq_storages_id")),
    )
    with op.batch_alter_table("storages", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_storages_participant"), ["participant"], unique=False)

    op.create_table(
        "admissions",
        sa.Column("space", sa.String(length=63), nullable=False),
        sa.Column("participant", sa.String(length=63), nullable=False),
        sa.Column("role", sa.String(length=40), nullable=False),
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["participant"], ["participants.id"], name=op.f("fk_admissions_participant_participants")
        ),
        sa.ForeignKeyConstraint(["space"], ["data_spaces.id"], name=op.f("fk_admissions_space_data_spaces")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_admissions")),
        sa.UniqueConstraint("space", "participant", "role", name=op.f("uq_admissions_space")),
    )
    with op.batch_alter_table("admissions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_admissions_participant"), ["participant"], unique=False)

    op.create_table(
        "datasets",
        sa.Column("space", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("provider", sa.String(length=63), nullable=False),
        sa.Column("lab", sa.String(length=63), nullable=False),
        sa.Column("title", sa.JSON(), nullable=False),
        sa.Column("description", sa.JSON(), nullable=False),
        sa.Column("keywords", sa.JSON(), nullable=False),
        sa.Column("theme", sa.String(length=20), nullable=True),
        sa.Column("licence", sa.Text(), nullable=True),
        sa.Column("attribution", sa.Text(), nullable=True),
        sa.Column("tdm_reserved", sa.Boolean(), nullable=False),
        sa.Column("personal_data", sa.String(length=40), nullable=False),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("storage", sa.String(length=63), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=40), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["lab"], ["data_labs.id"], name=op.f("fk_datasets_lab_data_labs")),
        sa.ForeignKeyConstraint(["provider"], ["participants.id"], name=op.f("fk_datasets_provider_participants")),
        sa.ForeignKeyConstraint(["space"], ["data_spaces.id"], name=op.f("fk_datasets_space_data_spaces")),
        sa.ForeignKeyConstraint(["storage"], ["storages.id"], name=op.f("fk_datasets_storage_storages")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_datasets")),
        sa.UniqueConstraint("space", "name", name=op.f("uq_datasets_space")),
    )
    with op.batch_alter_table("datasets", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_datasets_lab"), ["lab"], unique=False)
        batch_op.create_index(batch_op.f("ix_datasets_provider"), ["provider"], unique=False)
        batch_op.create_index(batch_op.f("ix_datasets_storage"), ["storage"], unique=False)

    op.create_table(
        "lab_partners",
        sa.Column("lab", sa.String(length=63), nullable=False),
        sa.Column("ai_factory", sa.String(length=63), nullable=False),
        sa.ForeignKeyConstraint(
            ["ai_factory"], ["ai_factories.id"], name=op.f("fk_lab_partners_ai_factory_ai_factories")
        ),
        sa.ForeignKeyConstraint(["lab"], ["data_labs.id"], name=op.f("fk_lab_partners_lab_data_labs")),
        sa.PrimaryKeyConstraint("lab", "ai_factory", name=op.f("pk_lab_partners")),
    )
    with op.batch_alter_table("lab_partners", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_lab_partners_ai_factory"), ["ai_factory"], unique=False)

    op.create_table(
        "lab_spaces",
        sa.Column("lab", sa.String(length=63), nullable=False),
        sa.Column("space", sa.String(length=63), nullable=False),
        sa.ForeignKeyConstraint(["lab"], ["data_labs.id"], name=op.f("fk_lab_spaces_lab_data_labs")),
        sa.ForeignKeyConstraint(["space"], ["data_spaces.id"], name=op.f("fk_lab_spaces_space_data_spaces")),
        sa.PrimaryKeyConstraint("lab", "space", name=op.f("pk_lab_spaces")),
    )
    with op.batch_alter_table("lab_spaces", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_lab_spaces_space"), ["space"], unique=False)

    op.create_table(
        "versions",
        sa.Column("dataset_uid", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=40), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.Column("arrow_schema", sa.LargeBinary(), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("file_count", sa.Integer(), nullable=False),
        sa.Column("hive_partitioning", sa.Boolean(), nullable=False),
        sa.Column("union_by_name", sa.Boolean(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_uid"], ["datasets.uid"], name=op.f("fk_versions_dataset_uid_datasets"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_versions")),
        sa.UniqueConstraint("dataset_uid", "number", name=op.f("uq_versions_dataset_uid")),
    )
    op.create_table(
        "version_files",
        sa.Column("version_uid", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("version_id", sa.Text(), nullable=True),
        sa.Column("device", sa.BigInteger(), nullable=True),
        sa.Column("inode", sa.BigInteger(), nullable=True),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["version_uid"], ["versions.uid"], name=op.f("fk_version_files_version_uid_versions"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("version_uid", "position", name=op.f("pk_version_files")),
    )
