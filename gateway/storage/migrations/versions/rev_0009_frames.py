"""Store what the headers of many messages say alike once, and not with each of them.

A header that its frame and its row would not give again stays as it is.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

from gateway.storage.frames import frame_of

revision: Final = "0009"
down_revision: Final = "0008"
STEP: Final = "post"

_AT_ONCE: Final = 1_000

_frames: Final = sa.table("frames", sa.column("id"), sa.column("frame"))
_messages: Final = sa.table(
    "messages",
    *map(
        sa.column,
        ("number", "header", "message_id", "created_ms", "expires_ms", "conversation_id", "frame"),
    ),
)
_m: Final = _messages.c


def upgrade() -> None:
    """Make the table, and let every message that can name its frame in place of its header."""
    op.create_table(
        "frames",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("frame", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_frames"),
    )
    op.create_index("ix_frames_frame", "frames", ["frame"], unique=True)
    op.add_column("messages", sa.Column("frame", sa.Integer(), nullable=True))
    connection = op.get_bind()
    move = (
        sa.update(_messages)
        .where(_m.number == sa.bindparam("message"))
        .values(header=sa.literal(b"", sa.LargeBinary()), frame=sa.bindparam("id"))
    )
    ids: dict[bytes, int] = {}
    last = 0
    while rows := connection.execute(
        sa.select(_m.number, _m.header, _m.message_id, _m.created_ms, _m.expires_ms, _m.conversation_id)
        .where(_m.number > last)
        .order_by(_m.number)
        .limit(_AT_ONCE)
    ).all():
        last = rows[-1].number
        changes = []
        for number, header, *values in rows:
            message_id, created_ms, expires_ms, conversation_id = values
            frame = frame_of(
                header,
                message_id=message_id,
                created_ms=created_ms,
                expires_ms=expires_ms,
                conversation_id=conversation_id,
            )
            if frame is None:
                continue
            if frame not in ids:
                ids[frame] = 1 + len(ids)
                connection.execute(sa.insert(_frames), {"id": ids[frame], "frame": frame})
            changes.append({"message": number, "id": ids[frame]})
        if changes:
            connection.execute(move, changes)


def downgrade() -> None:
    """Refuse: what a node has signed is never taken back."""
    msg = "a database is not migrated backwards: restore a backup"
    raise NotImplementedError(msg)
