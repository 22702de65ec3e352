"""Keys, certificates and trust, as files.

A node keeps its private keys in sealed files, opens them once with a passphrase, and holds
public files that say whom it trusts. Nothing here is looked up on a network.

Files:      `files`, `passphrase`, `keyfile`, `keyfolder`, `home`
Authority:  `x509_profile`, `issuing`, `holders`, `statement`, `registry`, `ceremony`,
            `rotation`, `config_file`, `demo`
Node:       `trust`, `access`, `expiry`, `kemstore`, `keyring`, `tls`, `tls_group`

Spec: docs/spec/keys.md.
"""
