"""Messages: the JSON documents agencies exchange, and everything that decides about them.

A body becomes a document (``strict_json``), a draft becomes a message (``draft``), and a
message is examined against its schema and the rules (``examine``), all from a catalogue of
files (``registry``) that both nations share.
"""
