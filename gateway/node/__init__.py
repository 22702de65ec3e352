"""The node: what happens to a message between the agency that posts and the one that reads.

Outward: `admission` checks, seals and accepts; the `sequencer` gives accepted messages
their place in the exchange log; the `courier` ships bundles to the peer, in order of
precedence, and starts again where the peer says it stands. Inward: `intake` checks a
bundle against the mirror, opens and judges each message; the inbox holds what was
received until its addressees have collected it. Receipts and collections travel back as
entries of the receiver's own log.

The pipelines know the outside only through `gateway.ports`. Every step is durable before
the next begins, so a process that dies anywhere is repaired by starting it again.
"""
