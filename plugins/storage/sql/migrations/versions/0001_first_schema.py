"""Infrastructures with their owners, rows, events and log."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "infrastructures",
        sa.Column("id", _key(), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("holder", _key(), nullable=False),
        sa.Column("lease_expires", sa.Double, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
        sa.Column("deleted", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("due", sa.Double),
        sa.Column("data", _text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_infrastructures"),
    )
    op.create_index("ix_infrastructures_created", "infrastructures", ["created", "id"])
    op.create_index("ix_infrastructures_due", "infrastructures", ["due", "id"])
    op.create_index("ix_infrastructures_holder", "infrastructures", ["holder"])
    op.create_table(
        "owners",
        sa.Column("infrastructure", _key(), nullable=False),
        sa.Column("owner", _key(), nullable=False),
        sa.PrimaryKeyConstraint("infrastructure", "owner", name="pk_owners"),
        _belongs("owners"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_owners_owner", "owners", ["owner"])
    op.create_table(
        "rows",
        sa.Column("infrastructure", _key(), nullable=False),
        sa.Column("tab", _key(32), nullable=False),
        sa.Column("key", _key(), nullable=False),
        sa.Column("data", _text(), nullable=False),
        sa.PrimaryKeyConstraint("infrastructure", "tab", "key", name="pk_rows"),
        _belongs("rows"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "events",
        sa.Column("infrastructure", _key(), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("type", _key(32), nullable=False),
        sa.Column("data", _text(), nullable=False),
        sa.PrimaryKeyConstraint("infrastructure", "sequence", name="pk_events"),
        _belongs("events"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "log",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False, autoincrement=True),
        sa.Column("infrastructure", _key(), nullable=False),
        sa.Column("stream", _key(32), nullable=False),
        sa.Column("text", _text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_log"),
        _belongs("log"),
    )
    op.create_index("ix_log_infrastructure", "log", ["infrastructure", "seq"])


def _key(length: int = 255) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="utf8mb4_bin"), "mysql", "mariadb")


def _text() -> sa.Text:
    return sa.Text().with_variant(sa.Text(2**32 - 1), "mysql", "mariadb")


def _belongs(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["infrastructure"], ["infrastructures.id"], name=f"fk_{table}_infrastructure", ondelete="CASCADE"
    )
