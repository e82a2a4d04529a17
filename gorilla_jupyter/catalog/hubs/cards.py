"""Model cards: their front matter, their first sentences as plain text, their code."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import mistune

from gorilla_jupyter.catalog.hubs.web import PageError
from gorilla_jupyter.catalog.yaml_values import YamlError, yaml_values

READ = 64 * 1024
"""How many characters of a card are read: what describes a model stands near its beginning."""

DESCRIPTION = 400
"""The longest description, in characters."""

_FENCE = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*\r?$\n?", re.DOTALL | re.MULTILINE)
_TAG = re.compile(r"<[/!?]?[A-Za-z][^<>]{0,2000}>")
_SENTENCE_END = re.compile(r"[.!?。！？](?=\s|$)|[。！？]")  # noqa: RUF001
_FORMALITY = re.compile(
    r"disclaimer|note\b|warning|citation|this (model card|repo|is the model card|readme)"
    r"|model card for|the model card|\[?more information needed",
    re.IGNORECASE,
)
_JOINERS = "\u200c\u200d"


def decode(body: bytes) -> str:
    """:raises PageError: where a card is not text."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PageError("has a card that is not UTF-8 text") from error


def split(card: str) -> tuple[Mapping[str, Any], str]:
    """The front matter of a card, empty where it has none, and the Markdown below it.

    :raises PageError: for front matter that is no YAML mapping.
    """
    found = _FENCE.match(card[:READ])
    if found is None:
        return {}, card[:READ]
    try:
        contents = [content for _, content in yaml_values(found.group(1))]
    except YamlError as error:
        raise PageError(f"has front matter that cannot be read: {error}") from error
    if len(contents) != 1 or not isinstance(contents[0], dict):
        raise PageError("has front matter that is no YAML mapping")
    return contents[0], card[found.end() : found.end() + READ]


def description(markdown: str, *, below: str = "") -> str:
    """The first sentences that say something, as plain text; "" where there are none.

    :param below: the heading, in lower case, below which to look; "" for the whole card.
    :raises PageError: for Markdown that cannot be read.
    """
    reached = not below
    for token in _tokens(markdown):
        if token["type"] == "heading" and not reached:
            reached = plain("".join(_text(token["children"]))).lower() == below
        if token["type"] != "paragraph" or not reached:
            continue
        text = plain("".join(_text(token.get("children", ()))))
        ends = [found.end() for found in _SENTENCE_END.finditer(text)]
        text = text[: ends[-1]] if ends else ""
        long_enough = len(text.split()) >= 6 or (len(text) >= 20 and not text.isascii())
        if long_enough and not _FORMALITY.match(text):
            return shorten(text)
    return ""


def shorten(text: str) -> str:
    """``text`` up to the last sentence, or else word, that fits a description."""
    if len(text) <= DESCRIPTION:
        return text
    ends = [found.end() for found in _SENTENCE_END.finditer(text[:DESCRIPTION])]
    return text[: ends[-1]] if ends else text[:DESCRIPTION].rpartition(" ")[0] + " …"


def code_blocks(markdown: str) -> list[str]:
    """The code of a card, block by block.

    :raises PageError: for Markdown that cannot be read.
    """
    return [str(token["raw"]) for token in _tokens(markdown) if token["type"] == "block_code"]


def plain(text: str) -> str:
    """``text`` in one line, without markup and without characters that cannot be seen."""
    text = _TAG.sub(" ", html.unescape(text))
    visible = (
        character
        if character in _JOINERS or not unicodedata.category(character).startswith("C")
        else " "
        if character in "\t\n\r"
        else ""
        for character in text
    )
    return " ".join("".join(visible).split())


def _tokens(markdown: str) -> list[dict[str, Any]]:
    try:
        tokens = mistune.create_markdown(renderer=None, plugins=["table"])(markdown[:READ])
    except (RecursionError, ValueError, IndexError, KeyError) as error:
        raise PageError("has a card that is not Markdown") from error
    return [token for token in tokens if isinstance(token, dict)]


def _text(tokens: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    hidden = ""
    for token in tokens:
        kind = token["type"]
        if kind == "inline_html":
            tag = str(token["raw"]).lower()
            if hidden and tag.startswith(f"</{hidden}"):
                hidden = ""
            elif found := re.match(r"<(script|style)\b", tag):
                hidden = found.group(1)
        elif hidden or kind == "image":
            continue
        elif kind in {"softbreak", "linebreak"}:
            yield " "
        elif "children" in token:
            yield from _text(token["children"])
        else:
            yield str(token.get("raw", ""))
