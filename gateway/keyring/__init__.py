"""The keys of a nation and of its node: made, sealed, opened, stated, replaced.

A nation has an offline root: a certificate for TLS and a statement key. The root signs
the node's key statement, which names the keys of its logs, its cosigner and its TLS
certificates. A node keeps its private keys in sealed files that name their purpose, opens
them at its start and gives the rest of the program objects that sign or open, never bytes.

This package implements `gateway.ports.Keyring`; only the composition root names it, and
the ceremony commands of the command line.
"""
