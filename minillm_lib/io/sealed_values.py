"""A checksum within a JSON object, in a key of its own, so that damage to its values does not go unnoticed.

It is a CRC-32 of the values, not of the text: other spaces, line ends or another order of the keys do not matter.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

CHECKSUM_KEY = "crc32"


class SealError(ValueError):
    """Values that are not those of their checksum."""


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a JSON object, with their checksum as the last one.

    >>> sealed({"kind": "end", "step": 3})
    {'kind': 'end', 'step': 3, 'crc32': '4f640129'}
    """
    return {**values, CHECKSUM_KEY: _checksum(values)}


def unsealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values without their checksum; those that have none come back as they are.

    Raises
    ------
    SealError
        If they are not those of the checksum.
    """
    own = {key: value for key, value in values.items() if key != CHECKSUM_KEY}
    try:
        is_intact = CHECKSUM_KEY not in values or values[CHECKSUM_KEY] == _checksum(own)
    except RecursionError:  # what was written is never nested that deeply
        is_intact = False
    if not is_intact:
        raise SealError(
            f"damaged: its values are not those of its checksum; after a change on purpose, remove {CHECKSUM_KEY}"
        )
    return own


def _checksum(values: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(values, sort_keys=True).encode()):08x}"
