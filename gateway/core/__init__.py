"""The protocol as pure functions and values.

Nothing in this package reads a clock, a file, a socket or a configuration, and nothing
writes a log: times, keys and random bytes come in as arguments. (The randomness inside
HPKE encapsulation, hedged ML-DSA signatures and Cobblestone salts is the library's own.)
So every rule of the protocol can be tried in a test with plain bytes, and an auditor can
read all that he has to trust.

Bytes:        `encoding`, `note`, `tiles`, `checkpoint`
Log:          `merkle`, `entries`, `receipt`
Signatures:   `signature`, `cosignature`
Secrecy:      `sealing`, `keybox`
Exchange:     `envelope`, `bundle`, `states`, `message`
"""
