"""The calls that documents allow, as a regular expression that a model's writing is held to."""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from gorilla_jupyter.record import ApiRecord, Argument
from gorilla_jupyter.verify import by_place, may_change, unpacks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OPTIONAL_ARGUMENTS = 12
"""How many arguments a model may add to a documented call: those nearest to the sentence."""

NOTHING = "none"
"""What a model writes for its call where no document fits."""

EXPLANATION = r"[^.<>\x22\\\x00-\x1f\x7f-\x9f]{1,160}\."
"""A regular expression of one sentence: small models go on and on."""

_INTEGER = "-?(0|[1-9][0-9]{0,11})"
_NUMBER = rf"{_INTEGER}(\.[0-9]{{1,12}})?"
_STRING = r"'[^'\\\x00-\x1f\x7f-\x9f]{0,120}'"
_BOOLEAN = "(True|False)"
_SCALAR = f"({_NUMBER}|{_STRING}|{_BOOLEAN}|None)"
_LIST = rf"\[({_SCALAR}(, {_SCALAR}){{0,7}})?\]"

_KINDS = (
    (r"bool", _BOOLEAN),
    (r"float|number|scalar|real", _NUMBER),
    (r"int", _INTEGER),
    (r"str|path|label|hashable", _STRING),
    (r"list|sequence|iterable|array|tuple", _LIST),
    (r"none|optional", "None"),
)
"""Words of a documented type, and the literals that are of it."""


def call_pattern(record: ApiRecord, sentence: str) -> str:
    """A regular expression of the calls that the record allows, written as :func:`ast.unparse`
    writes them; "" for a record without a call.

    What the document shows is there, word for word but for its placeholders and its defaults, and
    the arguments of :func:`optional_arguments` may follow in their order. It uses only what all
    dialects of regular expressions have.
    """
    if record.call is None:
        return ""
    arguments = {argument.name: argument for argument in record.api_arguments}
    shown = []
    for place, value in by_place(record.call).items():
        argument = arguments.get(str(place))
        written = [_escaped(ast.unparse(value))]
        if not unpacks(place, value) and may_change(value, argument, record):
            written += _literals(argument or Argument(str(place)))
        name = f"{place}=" if isinstance(place, str) and place.isidentifier() else ""
        stars = r"\*\*" if isinstance(place, str) and unpacks(place, value) else ""
        shown.append(f"{name}{stars}{_either(written)}")
    added = [
        f"{argument.name}={_either(_literals(argument))}"
        for argument in optional_arguments(record, sentence)
    ]
    if shown:
        insides = [", ".join(shown) + "".join(f"(, {text})?" for text in added)]
    else:
        insides = ["", *_each_at_most_once(added)]
    return _either([rf"{_escaped(record.callee)}\({inside}\)" for inside in insides])


def answer_pattern(records: Iterable[ApiRecord], sentence: str) -> str:
    """A regular expression of the answers in Gorilla's form that the records allow, up to the
    explanation; one of them says that none of the records fits."""
    answers = [
        _answer(_plain(record.domain), call_pattern(record, sentence), _plain(record.framework))
        for record in records
    ]
    any_of_them = "|".join([*answers, _answer(NOTHING, NOTHING, NOTHING)])
    return f"({any_of_them}), <<<explanation>>>: {EXPLANATION}"


def _answer(domain: str, call: str, provider: str) -> str:
    return f"<<<domain>>>: {domain}, <<<api_call>>>: {call}, <<<api_provider>>>: {provider}"


def _plain(text: str) -> str:
    return _escaped(" ".join(text.split()))


class Guide:
    """Holds a model's writing to a regular expression, token by token.

    :param tokenizer: what :func:`guide_tokenizer` makes of the model's.
    :raises ValueError: for a regular expression that cannot be followed.
    """

    def __init__(self, tokenizer: Any, pattern: str) -> None:
        from llguidance import LLMatcher
        from llguidance.numpy import allocate_token_bitmask

        self._matcher = LLMatcher(tokenizer, LLMatcher.grammar_from_regex(pattern))
        if self._matcher.is_error():
            raise ValueError(self._matcher.get_error())
        self._mask = allocate_token_bitmask(1, tokenizer.vocab_size)

    @property
    def finished(self) -> bool:
        """Whether nothing can follow."""
        return bool(self._matcher.is_stopped())

    def forced(self) -> list[int]:
        """The tokens that must come next, whatever the model thinks."""
        return list(self._matcher.compute_ff_tokens())

    def choose(self, logits: NDArray[np.float32]) -> int:
        """The likeliest of the tokens that may come next."""
        import numpy as np
        from llguidance.numpy import fill_next_token_bitmask

        fill_next_token_bitmask(self._matcher, self._mask)
        allowed = np.unpackbits(self._mask.view(np.uint8)[0], bitorder="little")[: len(logits)]
        return int(np.where(allowed, logits[: len(allowed)], -np.inf).argmax())

    def accept(self, tokens: Sequence[int]) -> None:
        """Go on after these tokens."""
        self._matcher.consume_tokens(list(tokens))


def guide_tokenizer(description: str, vocabulary: int, end_tokens: Iterable[int]) -> Any:
    """A tokenizer for :class:`Guide`.

    :param description: the content of ``tokenizer.json``.
    :param vocabulary: how many tokens the model tells apart, which may be more than there are.
    """
    from llguidance import LLTokenizer

    return LLTokenizer(description, n_vocab=vocabulary, eos_token=sorted(end_tokens))


def optional_arguments(record: ApiRecord, sentence: str) -> list[Argument]:
    """The documented arguments that a call may have beside those that the document shows, in its
    order: where there are many, those whose name and description share most words with the
    sentence."""
    if record.call is None:
        return []
    shown = by_place(record.call)
    by_position = len(record.call.args)
    words = set(re.findall(r"\w{3,}", sentence.lower()))
    offered = [
        argument
        for argument in record.api_arguments[by_position:]
        if argument.name not in shown
        and argument.name.isidentifier()
        and not keyword.iskeyword(argument.name)
        and _literals(argument)
    ]

    def distance(argument: Argument) -> int:
        said = f"{argument.name.replace('_', ' ')} {argument.description}".lower()
        return -len(words.intersection(re.findall(r"\w{3,}", said)))

    nearest = sorted(offered, key=distance)[:OPTIONAL_ARGUMENTS]
    return [argument for argument in offered if argument in nearest]


def _literals(argument: Argument) -> list[str]:
    """Patterns of the values that suit the argument's type; any plain one where it has none."""
    kind = argument.type.lower()
    if not kind:
        return [_SCALAR, _LIST]
    if "literal[" in kind or kind.startswith("{"):
        choices = re.findall(r"'[^'\\\n]*'|\"[^\"'\\\n]*\"", argument.type)
        found = [_escaped(ast.unparse(ast.parse(choice, mode="eval"))) for choice in choices]
        kind = re.sub(r"literal\[[^\]]*\]|\{[^}]*\}", "", kind)
    else:
        found = []
    found += [pattern for words, pattern in _KINDS if re.search(rf"(?<![a-z])({words})", kind)]
    if argument.default == "None" and "None" not in found:
        found.append("None")
    return found


def _each_at_most_once(texts: list[str]) -> list[str]:
    # A call that shows no arguments: whichever of them comes first has no comma before it. They are
    # alternatives, because llama.cpp's server makes no optional group as large as all of them.
    return [
        text + "".join(f"(, {later})?" for later in texts[place:])
        for place, text in enumerate(texts, start=1)
    ]


def _either(patterns: list[str]) -> str:
    return patterns[0] if len(patterns) == 1 else f"({'|'.join(patterns)})"


def _escaped(text: str) -> str:
    # Not re.escape: what it does to spaces and hyphens is no regular expression elsewhere.
    return re.sub(r"[\\.^$*+?()\[\]{}|]", r"\\\g<0>", text)
