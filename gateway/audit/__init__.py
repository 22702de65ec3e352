"""Offline verification: what an auditor runs, and all that an auditor has to trust.

Everything is recomputed from exported files and public keys: no network, no database, no
private key. This package imports `gateway.core` and `gateway.errors` alone, so that those
are all that needs reading; and since the formats are published ones (C2SP notes, tiles and
checkpoints, RFC 6962 trees), a program that is not ours gives the same answers.
"""
