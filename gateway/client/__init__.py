"""What an agency system imports to post messages and read its inbox.

It imports `gateway.core` and `gateway.errors` alone: no node, no storage, no keys but the
agency's own TLS certificate.
"""
