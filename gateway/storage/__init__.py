"""Where a node keeps everything: one database, one writer, commits in groups.

The tables are described once, in SQLAlchemy Core, and serve SQLite and PostgreSQL alike.
All writes pass through one thread: a unit of work is a closure, the closures that arrive
while a commit runs share the next one, and a caller is answered only when its rows are on
disk. What must never change (entries, checkpoints, statements) stands in tables that
triggers keep append-only, so even a foreign tool cannot rewrite them by mistake.

This package implements `gateway.ports.Store`; only the composition root names it.
"""
