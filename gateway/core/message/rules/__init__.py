"""The rules across the fields of a message: what a schema cannot say.

Each module holds the rules of one concern. `RULES` is all of them in the order of their
numbers; `gateway.core.message.rule` runs those that need nothing but the message, and
`gateway.core.message.threads` those that need its conversation.

Spec: docs/spec/rules.md.
"""
