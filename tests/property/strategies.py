"""Ways to alter bytes that more than one law speaks of."""

from __future__ import annotations

from hypothesis import strategies as st


@st.composite
def altered(draw: st.DrawFn, data: bytes) -> bytes:
    """Return other bytes: one of them changed, some cut off, some added, or some left out."""
    at = draw(st.integers(min_value=0, max_value=len(data) - 1))
    match draw(st.sampled_from(["change", "cut", "extend", "leave out", "repeat"])):
        case "change":
            return data[:at] + bytes((data[at] ^ draw(st.integers(1, 255)),)) + data[at + 1 :]
        case "cut":
            return data[:at]
        case "extend":
            return data + draw(st.binary(min_size=1, max_size=5))
        case "leave out":
            return data[:at] + data[at + 1 :]
        case _:
            return data[: at + 1] + data[at:]
