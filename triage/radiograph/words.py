"""PURE: words of many languages in the texts of DICOM attributes, matched by whole tokens and never by substring.

A text is folded (case, width, accents) and cut into tokens: digits, underscores, punctuation and a small letter before
a capital one separate them, so that ``CHEST_PA2``, ``Thorax p.a.`` and ``ThoraxPA`` all have tokens for the view. A run
of a script that is written without spaces (Han, Kana, Hangul, Thai, Lao, Khmer, Burmese) is one token, in which known
words of two characters or more are found from the left, the longest first; one of a single character counts only where
the whole run consists of known words. So 胸部正面 is the chest from the front, 胸椎 is the spine, and 胸 in an unknown
word has no meaning.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

Phrase = tuple[str, ...]
"""A sequence of tokens."""

Meaning = TypeVar("Meaning")

# Letters that Unicode does not decompose into one of the basic alphabet and an accent; a tatweel only stretches a word.
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ħ": "h", "\u0640": None}
)
# Their spelling on keyboards without them.
_WITHOUT_THE_KEY = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
_ARTICLE = "ال"  # written together with its Arabic noun
_WITHOUT_SPACES = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff"
)
_TOKEN = re.compile(rf"[{_WITHOUT_SPACES}]+|(?:(?![{_WITHOUT_SPACES}])[^\W\d_])+")
_UNSPACED = re.compile(rf"[{_WITHOUT_SPACES}]+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PLUS = re.compile(r"[+&]")


def fold(text: str) -> str:
    """Return ``text`` without case, width (NFKC) and accents."""
    wide = _HUMP.sub(" ", unicodedata.normalize("NFKC", text)).casefold().translate(_LETTERS)
    bare = "".join(letter for letter in unicodedata.normalize("NFKD", wide) if not unicodedata.combining(letter))
    return unicodedata.normalize("NFC", bare)


def tokens(text: str) -> list[str]:
    """Return the tokens of a text, folded. A plus sign and an ampersand are the token ``and``."""
    return _TOKEN.findall(_PLUS.sub(" and ", fold(text)))


def spellings(word: str) -> set[Phrase]:
    """Return the token sequences by which a word or phrase may be written: Schädel as ``schadel`` and ``schaedel``."""
    written = {word.casefold(), word.casefold().translate(_WITHOUT_THE_KEY)}
    phrases = {tuple(tokens(each)) for each in written}
    arabic = {(_ARTICLE + phrase[0], *phrase[1:]) for phrase in phrases if phrase and "\u0600" <= phrase[0] <= "\u06ff"}
    return {phrase for phrase in phrases | arabic if phrase}


@dataclass(frozen=True)
class Lexicon(Generic[Meaning]):
    """Phrases and their meanings. Of two that begin at one token the longer counts, and its tokens are in no other."""

    phrases: Mapping[Phrase, Meaning]
    longest: int

    def read(self, text: str) -> tuple[list[Meaning], list[str]]:
        """Return the meanings of the phrases in a text, in its order, and the tokens that are in none."""
        meanings: list[Meaning] = []
        rest: list[str] = []
        words, begin = tokens(text), 0
        while begin < len(words):
            length = self._longest(words[begin:])
            if length:
                meanings.append(self.phrases[tuple(words[begin : begin + length])])
            else:
                self._read_unspaced(words[begin], meanings, rest)
            begin += length or 1
        return meanings, rest

    def _longest(self, words: list[str]) -> int:
        most = min(len(words), self.longest)
        return next((count for count in range(most, 0, -1) if tuple(words[:count]) in self.phrases), 0)

    def _read_unspaced(self, token: str, meanings: list[Meaning], rest: list[str]) -> None:
        pieces = list(self._pieces(token)) if _UNSPACED.fullmatch(token) else [token]
        whole = all((piece,) in self.phrases for piece in pieces)
        for piece in pieces:
            if (piece,) in self.phrases and (whole or len(piece) > 1):
                meanings.append(self.phrases[(piece,)])
            else:
                rest.append(piece)

    def _pieces(self, run: str) -> Iterator[str]:
        """Yield the known words of a run of characters, the longest first, and the characters between them."""
        begin = 0
        while begin < len(run):
            ends = range(len(run), begin, -1)
            end = next((end for end in ends if (run[begin:end],) in self.phrases), begin + 1)
            yield run[begin:end]
            begin = end


def lexicon(entries: Iterable[tuple[str, Meaning]], base: Lexicon[Meaning] | None = None) -> Lexicon[Meaning]:
    """Return a lexicon of words and phrases as people write them, and of those of ``base``.

    Of entries with the same tokens the last counts, and all take precedence over those of ``base``.
    """
    phrases = dict(base.phrases) if base else {}
    phrases.update((phrase, meaning) for word, meaning in entries for phrase in spellings(word))
    return Lexicon(phrases, max(map(len, phrases), default=0))
