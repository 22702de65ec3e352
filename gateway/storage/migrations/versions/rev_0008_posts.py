"""Keep the digest of a post that is known by its message id with the content of the message.

It goes with the content, so it needs no row and no index of its own. Posts that gave a key of
their own stay in ``idempotency``.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision: Final = "0008"
down_revision: Final = "0007"
STEP: Final = "post"

_AT_ONCE: Final = 1_000
_KEPT_BYTES: Final = 16

_posts: Final = sa.table("idempotency", *map(sa.column, ("agency", "key", "body_digest", "message_id")))
_messages: Final = sa.table("messages", *map(sa.column, ("number", "message_id", "from_agency", "outgoing")))
_contents: Final = sa.table("contents", sa.column("number"), sa.column("post_digest"))


def upgrade() -> None:
    """Add the column, and move what old rows say."""
    op.add_column("contents", sa.Column("post_digest", sa.LargeBinary(), nullable=True))
    connection = op.get_bind()
    number = (
        sa.select(_messages.c.number)
        .where(
            _messages.c.message_id == sa.bindparam("id"),
            _messages.c.from_agency == sa.bindparam("by"),
            _messages.c.outgoing.is_(sa.true()),
        )
        .scalar_subquery()
    )
    move = sa.update(_contents).where(_contents.c.number == number).values(post_digest=sa.bindparam("digest"))
    drop = sa.delete(_posts).where(
        _posts.c.agency == sa.bindparam("by"), _posts.c.key == sa.bindparam("name")
    )
    last = ("", "")
    while rows := connection.execute(
        sa.select(_posts)
        .where(sa.tuple_(_posts.c.agency, _posts.c.key) > sa.tuple_(*last))
        .order_by(_posts.c.agency, _posts.c.key)
        .limit(_AT_ONCE)
    ).all():
        last = (rows[-1].agency, rows[-1].key)
        own = [
            {"by": row.agency, "name": row.key, "id": row.message_id, "digest": row.body_digest[:_KEPT_BYTES]}
            for row in rows
            if row.key == str(UUID(bytes=row.message_id))
        ]
        if own:
            # An empty one says that the content is gone: then there is no row to write it in either.
            connection.execute(move, own)
            connection.execute(drop, own)


def downgrade() -> None:
    """Refuse: what a node has signed is never taken back."""
    msg = "a database is not migrated backwards: restore a backup"
    raise NotImplementedError(msg)
