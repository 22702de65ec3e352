"""The line between the two nodes: mutual TLS 1.3, both ends, four calls.

The server end hands bundles, views and entries to the node; the client end is the
`gateway.ports.PeerLink` that the courier speaks through. Both are pinned to the keys of
the peer's statement. Nothing here judges a message: sizes, deadlines and rates are
limited, and the bytes go on to the node.

Spec: docs/spec/peer-calls.md.
"""
