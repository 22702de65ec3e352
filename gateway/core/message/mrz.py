"""Is this machine-readable zone sound, and does it belong to the document around it?

Spec: ICAO Doc 9303, Parts 3 to 6; docs/spec/rules.md, rule ID-MRZ.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_MRZ_LINE = re.compile(r"[A-Z0-9<]*")
_MRZ_VALUES = bytes.maketrans(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ<", bytes((*range(36), 0)))


def is_mrz(lines: Sequence[str], *, number: str, issuer: str, birth_date: str | None) -> bool:
    """Tell whether a machine-readable zone is sound and belongs to the document around it.

    The check digits of document number, birth date, expiry date and composite are digits
    and right; in TD3 that of the optional data as well, unless field and check position
    hold only fillers. Names, sex, nationality and expiry are not compared.

    Args:
        lines: Two lines of 44 characters (TD3), two of 36 (TD2) or three of 30 (TD1).
        number: Number of the document; equals the zone's, without trailing fillers.
        issuer: Issuing state of the document, one to three letters.
        birth_date: Birth date of the holder as ``YYYY-MM-DD``, or None when it is not
            known to the day and so not compared.

    Spec: ICAO Doc 9303, Part 3, Section 4.9; Parts 4, 5 and 6.
    """
    if not all(map(_MRZ_LINE.fullmatch, lines)):
        return False
    shape = tuple(map(len, lines))
    if shape in ((44, 44), (36, 36)):
        second = lines[1]
        document, document_check = second[0:9], second[9]
        birth, birth_check, expiry, expiry_check = second[13:19], second[19], second[21:27], second[27]
        composite = second[0:10] + second[13:20] + second[21:-1]
    elif shape == (30, 30, 30):
        first, second = lines[0], lines[1]
        document, document_check = first[5:14], first[14]
        birth, birth_check, expiry, expiry_check = second[0:6], second[6], second[8:14], second[14]
        composite = first[5:30] + second[0:7] + second[8:15] + second[18:29]
    else:
        return False
    optional_is_sound = shape != (44, 44) or (
        second[28:43] == "<" * 15 or _is_mrz_checked(second[28:42], second[42])
    )
    return (
        optional_is_sound
        and _is_mrz_checked(document, document_check)
        and _is_mrz_checked(birth, birth_check)
        and _is_mrz_checked(expiry, expiry_check)
        and _is_mrz_checked(composite, second[-1])
        and document.rstrip("<") == number
        and lines[0][2:5].rstrip("<") == issuer
        and (birth_date is None or birth == birth_date[2:4] + birth_date[5:7] + birth_date[8:10])
    )


def _is_mrz_checked(field: str, check: str) -> bool:
    """Tell whether ``check`` is a digit and the ICAO 9303 check digit of ``field``."""
    values = field.encode().translate(_MRZ_VALUES)
    # The weights 7, 3, 1 come round in turn.
    return str((7 * sum(values[::3]) + 3 * sum(values[1::3]) + sum(values[2::3])) % 10) == check
