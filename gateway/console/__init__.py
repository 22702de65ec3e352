"""The operator port: health, metrics, the logs as tiles, and what operators and auditors do.

Every change made here carries a reason and is an event of the audit log.
"""
