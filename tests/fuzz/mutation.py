"""Mutations of byte strings, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

_NUMBERS = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\0\0",
    b"\xff\xff",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\xff\xff\xff\x7f",
)
_LONGEST = 1 << 16


def mutated(seeds: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """``count`` byte strings made from ``seeds``."""
    chance = random.Random(seed)
    for _ in range(count):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((1, 1, 2, 4, 8))):
            _mutate(data, chance, seeds)
        yield bytes(data[:_LONGEST])


def _mutate(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    at = chance.randrange(len(data) + 1)
    length = chance.choice((1, 2, 4, 8, 64, 1000))
    kind = chance.randrange(7)
    if kind == 0 and data:
        data[min(at, len(data) - 1)] ^= 1 << chance.randrange(8)
    elif kind == 1:
        data[at : at + length] = b""
    elif kind == 2:
        data[at:at] = chance.randbytes(min(length, 8))
    elif kind == 3:
        number = chance.choice(_NUMBERS)
        data[at : at + len(number)] = number
    elif kind == 4:
        data[at:at] = data[at : at + length]
    elif kind == 5:
        other = chance.choice(seeds)
        start = chance.randrange(len(other) + 1)
        data[at : at + length] = other[start : start + length]
    else:
        del data[at:]
