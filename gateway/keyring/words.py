"""Fingerprints in words, for reading aloud between two nations.

Each of the 256 words is spelled the same in English and in French, and no two of them differ
in one letter only. A word stands for a byte. The words cover the first 16 bytes of a digest:
to make a second key whose words are the same takes 2^128 tries. The hexadecimal digits beside
them cover all of it.

Spec: docs/spec/keys.md, "Fingerprints".
"""

from __future__ import annotations

from typing import Final

WORDS_IN_A_FINGERPRINT: Final = 16
WORDS_IN_A_LINE: Final = 4

_LIST: Final = """
abandon absent accent accident accord action agent album angle animal arcade artisan aspect atlas
audible badge balance ballet bandage banjo barrage biceps bison bizarre bonus bouquet brave bronze
budget buffet bureau cabaret cable cactus cadet cage camp canal canton capable capital caramel cargo
cascade casino caution central certain chance chant citron client club cobra code combat compact
compote concert content costume coupon courage cousin coyote culture danger date dessert direct
divan docile dolmen domino dragon effort encore expert final fjord forage force format fragile franc
front fruit futon gala garage gazelle geyser gorge gourmet grain grand horizon humble igloo image
index instant iris jaguar jargon jazz journal judo junior karma kayak kimono kiwi koala label lama
large lasso lemming lion lotus lynx machine magma marine massage massif maximum menace menhir
mention menu million minimum minute miracle mirage mission moment muscle muse nation nature nickel
noble notable nuance ocelot olive opinion option orange orbital origami palace panda parade pardon
parfait passion pension phrase piano pigeon pirate piston pivot plan plateau plume poncho portion
poster prairie prison prune puma quartz quota radar radio raisin rapport refuge reptile rival robot
route royal rupture safari salon satin sauce science secret serpent service signal silence simple
siphon slogan soda solo sonar soprano sphinx stable station studio sultan surface surplus talent
tango tapir tarot taxi temple tennis terrain texture thermos ticket tofu torrent total totem transit
tribune trio triple tunnel turban turbine union unique vacant vague valise vestige village violet
virus visible vision vocal volt voyage wagon yacht yoga yucca zigzag zone
"""
WORDS: Final = tuple(_LIST.split())


def in_words(digest: bytes) -> tuple[str, ...]:
    """Return a digest in words, four in a line; people compare line by line.

    Args:
        digest: At least 16 bytes; the first 16 are said.

    Raises:
        ValueError: It is shorter.
    """
    if len(digest) < WORDS_IN_A_FINGERPRINT:
        msg = "a fingerprint in words covers 16 bytes"
        raise ValueError(msg)
    words = [WORDS[byte] for byte in digest[:WORDS_IN_A_FINGERPRINT]]
    return tuple(
        " ".join(words[start : start + WORDS_IN_A_LINE]) for start in range(0, len(words), WORDS_IN_A_LINE)
    )
