"""Backups of a node: made beside it while it works, restored into a home without a database.

A backup is one sealed file (`gateway.keyring.sealedfile`) that holds a tar: a manifest, the
configuration, the public files of trust, the file of orders, and the database as of one
moment. It holds no private key: the sealed keys have copies of their own, and a backup that
travelled with the storage key would keep erased content readable.

A restore opens the whole file into a folder beside the future database and checks it there.
Only then does anything get its place, the database last, and nothing that exists is replaced:
the high-water file and the file of orders of the node, which know what happened after the
backup, win over the backup's own. What the database lacks is refilled by the node's start.

Spec: docs/spec/backup.md.
"""
