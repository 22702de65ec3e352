"""Migrations of the tables, run by `gateway.storage.schema`."""
