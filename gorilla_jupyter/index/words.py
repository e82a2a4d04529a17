"""What an index knows a text by: its words and their stems, without those that tell nothing."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache

with warnings.catch_warnings():
    # Whoosh 2.7.4 predates the warning about backslashes in plain strings.
    warnings.simplefilter("ignore", SyntaxWarning)
    from whoosh.analysis import LowercaseFilter, RegexTokenizer, StemFilter, StopFilter, Token

STOP_WORDS = frozenset(
    """a about after all also am an and any are as at be because been before being between both
    but by can could did do does doing don for from get give given had has have he hello her
    here hi him his how i if in into is it its just let like ll load make me my need needs no
    not now of on one or our out over please re s she should show so some such t that the their
    them then there these they this those through to too under up us use using ve very want
    wants was we were what when where which while who whom why will with would you
    your""".split()
)
REQUEST_WORDS = frozenset(
    """api apis call code find function help library model models package pretrained program
    recommend script someone something suggest tool train trained way work works write""".split()
)
"""Words that most requests have and that tell no document from another."""

ASIDE_WORDS = frozenset(
    "bf16 bfloat16 cpu cuda float16 fp16 gpu gpus half mps nvidia precision run running".split()
)
"""Words on how something is to be run, which hardly any document has."""

_WORD = re.compile(r"[^\W_]+")
_STEM_FILTER = StemFilter()

TOKENS = RegexTokenizer(_WORD) | LowercaseFilter() | StopFilter(STOP_WORDS, minsize=1)
"""Whoosh's analyzer of texts into words in small letters."""

STEMS = TOKENS | _STEM_FILTER
"""Likewise into their stems."""

_VERSION = re.compile(r"v?[0-9]+[a-z]?$")
_CASE_BORDER = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def words_of(text: str) -> set[str]:
    """The words that :data:`TOKENS` makes, without their places, in a tenth of the time."""
    return {word.lower() for word in _WORD.findall(text)} - STOP_WORDS


@lru_cache(maxsize=100_000)
def stem_of(word: str) -> str:
    """The stem of one of the words that :data:`TOKENS` makes."""
    return str(next(_STEM_FILTER(iter([Token(text=word, stopped=False)]))).text)


ASIDE_STEMS = frozenset(map(stem_of, ASIDE_WORDS))
_REQUEST_STEMS = frozenset(map(stem_of, REQUEST_WORDS))


def names_in(text: str) -> list[str]:
    """What reads as the full name of an API, such as ``suno/bark`` or ``pd.read_csv``."""
    chunks = (chunk.strip(".,;:!?()'\"`").lower() for chunk in text.split())
    return list(dict.fromkeys(chunk for chunk in chunks if re.search(r"\w[^\w\s]\w|\w_\w", chunk)))


def family_of(name: str) -> set[str]:
    """The first word of an API's own name without a version, ``qwen`` of ``Qwen3-0.6B``; nothing
    where that leaves too little to tell anything."""
    first = _WORD.search(name)
    family = _VERSION.sub("", first.group().lower()) if first else ""
    return {family} if len(family) > 2 else set()


def terms_of(text: str) -> list[str]:
    """The stems that a question is searched by, those that most requests have left out if others
    remain."""
    stems = dict.fromkeys(token.text for token in STEMS(split_case(text)))
    telling = [stem for stem in stems if stem not in _REQUEST_STEMS]
    return telling or list(stems)


def split_case(text: str) -> str:
    """The text, and what its words are made of: ``readCsv`` and ``read Csv``."""
    split = _CASE_BORDER.sub(" ", text)
    return text if split == text else f"{text} {split}"
