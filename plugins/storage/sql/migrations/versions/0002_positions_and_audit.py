"""Events in one order over all infrastructures, and audit records."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Number the events there are by their time, keeping their order within each infrastructure."""
    op.rename_table("events", "former_events")
    op.create_table(
        "events",
        sa.Column("position", _number(), nullable=False, autoincrement=False),
        sa.Column("infrastructure", _key(), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("type", _key(32), nullable=False),
        sa.Column("data", _text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_events"),
        sa.ForeignKeyConstraint(
            ["infrastructure"], ["infrastructures.id"], name="fk_events_infrastructure", ondelete="CASCADE"
        ),
    )
    op.execute(
        "INSERT INTO events (position, infrastructure, sequence, time, type, data) "
        "SELECT ROW_NUMBER() OVER (ORDER BY reached, infrastructure, sequence), "
        "infrastructure, sequence, time, type, data FROM (SELECT former_events.*, "
        "MAX(time) OVER (PARTITION BY infrastructure ORDER BY sequence) AS reached FROM former_events) AS timed"
    )
    op.drop_table("former_events")
    op.create_index("ix_events_infrastructure", "events", ["infrastructure", "sequence"], unique=True)
    op.create_table(
        "audit",
        sa.Column("id", _number(), nullable=False, autoincrement=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("data", _text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_table(
        "audit_owners",
        sa.Column("owner", _key(), nullable=False),
        sa.Column("audit", _number(), nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("owner", "audit", name="pk_audit_owners"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "counters",
        sa.Column("name", _key(32), nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO counters (name, value) SELECT 'events', COALESCE(MAX(position), 0) FROM events")
    op.execute("INSERT INTO counters (name, value) VALUES ('audit', 0)")


def _number() -> sa.BigInteger:
    return sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _key(length: int = 255) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="utf8mb4_bin"), "mysql", "mariadb")


def _text() -> sa.Text:
    return sa.Text().with_variant(sa.Text(2**32 - 1), "mysql", "mariadb")
