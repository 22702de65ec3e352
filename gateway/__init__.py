"""Entente: a gateway through which two nations exchange messages and keep proof of it.

Each nation runs a node. Agencies post messages to their own node; the node checks them,
encrypts them once, enters them in its exchange log and ships the entries to the peer,
which mirrors the log, cosigns it and hands the messages to the agencies addressed.

A reader begins with `core`, which is the protocol as pure functions, then `ports`, which
says what a node needs from outside, then `node`, which puts the two together:

    cli → app → api | console | link → web → node → storage | keyring | audit → config → ports → core → errors

Imports point along these arrows only. `client` is what an agency system imports, `audit`
is what an auditor has to trust; both know `core` and `errors` and nothing else.
"""
