"""What is wrong with a message: the rule it breaks, where, and how to mend it.

A violation is built from the schema and the rules only. It never holds a value of the
message, nor a field name that the schema does not know, so it can be logged, shown and
sent in an answer without a thought about what the message holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.core.message.wording import Language, Wording

RULE_JSON = "JSON"
"""Rule id of a body that is not strict JSON. Reported alone."""

RULE_SCHEMA = "SCHEMA"
"""Rule id of a message that its schema refuses. Reported before every other rule."""

MAX_VIOLATIONS: Final = 100
"""Most violations reported of one message: more than anyone reads.

Three kilobytes can break a schema a thousand times, and a batch may have 5,000 such lines.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One broken rule at one place of a message.

    Attributes:
        rule: Id of the rule, as in the table of rules: ``JSON``, ``SCHEMA``, ``H-01`` …
        pointer: RFC 6901 JSON Pointer of the place. ``/`` stands for the whole body when
            it is no JSON at all; for a missing or unknown field it is the object that
            lacks or holds it.
        wording: What is expected there, in both languages.

    Spec: docs/spec/messages.md, "Verdicts".
    """

    rule: str
    pointer: str
    wording: Wording

    def text(self, language: Language) -> str:
        """Return what is expected, in the language of the reader."""
        return self.wording.text(language)


def pointer_to(*steps: str | int) -> str:
    """Return the RFC 6901 JSON Pointer of ``steps``: field names and list positions.

    No step gives the empty pointer, which is the whole document.
    """
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)
