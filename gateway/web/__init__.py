"""HTTP for strangers: what every port of the node shares.

`aiohttp` parses; this package decides what is let in. It owns the deadlines that aiohttp
does not have, the caps on connections, requests and bodies, the table of routes with an
exact pattern for every path, the identity that a TLS certificate gives, and the one table
in which an error meets an HTTP status (`problems`).

The agency port (`gateway.api`), the peer port (`gateway.link`) and the operator port
(`gateway.console`) each bring an `App`; `serve` opens a port for it.
"""
