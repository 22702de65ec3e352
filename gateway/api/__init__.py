"""The agency port: HTTP and JSON for the systems of a nation's own agencies.

This package turns requests into calls of `gateway.node` and answers into JSON; it is the
only place where an error meets an HTTP status. An agency is known by the key of its
certificate, and sees its own messages and nothing else.
"""
