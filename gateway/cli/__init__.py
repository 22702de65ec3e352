"""The command `entente`, for operators, agencies and auditors.

Commands read arguments, call the composition root, the client or the offline audit, and
print. Exit status: 0 fine, 1 the answer is no, 2 wrong usage.
"""
