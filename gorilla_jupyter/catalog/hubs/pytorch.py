"""PyTorch Hub: the pages of its repository, by GitHub's contents interface.

A page has front matter with title, summary and tags, and code that calls ``torch.hub.load``. That
call is the record's. Pages state no licence: the description names the repository instead.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from gorilla_jupyter.answer import Progress
from gorilla_jupyter.catalog.hubs import cards
from gorilla_jupyter.catalog.hubs.found import Found, HubRefusal, Shipped
from gorilla_jupyter.catalog.hubs.web import PageError, Web, parse_json
from gorilla_jupyter.catalog.sources import load_sources
from gorilla_jupyter.record import ApiRecord, parse_code, pip_requirement

_REPOSITORY = "repos/pytorch/hub"
_RAW = "application/vnd.github.raw+json"
_PAGE_BYTES = 1 << 19
_SHA = re.compile(r"[0-9a-f]{40}")
_PAGE_NAME = re.compile(r"[\w.-]{1,120}\.md", re.ASCII)
_SOURCE = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(:[\w./-]+)?", re.ASCII)
_PIP = re.compile(r"^[!%$\s]*(?:python3? -m )?pip3? install ([^\n#;&|]*)", re.MULTILINE)

DOMAINS = {
    "vision": "Computer Vision",
    "nlp": "Natural Language Processing",
    "audio": "Audio",
    "generative": "Generative Models",
}
"""The hub's own categories; its other tags, such as ``scriptable``, are no tasks."""


@dataclass(frozen=True)
class _Page:
    name: str
    front: Mapping[str, Any]
    markdown: str

    @property
    def domain(self) -> str:
        tags = self.front.get("tags")
        for tag in tags if isinstance(tags, list) else ():
            if isinstance(tag, str) and tag in DOMAINS:
                return DOMAINS[tag]
        raise PageError("names no task among its tags")

    @property
    def rank(self) -> tuple[float, str]:
        """The hub's own order: its front page counts down."""
        order = self.front.get("order")
        return (-order if isinstance(order, int) else 0, self.name)


def collect(web: Web, top: int, shipped: frozenset[str]) -> Iterator[Found]:
    """Yield the models of the ``top`` pages of each category."""
    group = load_sources().argument_groups["torch-hub"]
    documented = {name: argument.as_json() for name, argument in group.items()}
    try:
        entries = web.fetch(f"{_REPOSITORY}/contents/", _parse_list)
    except PageError as error:
        yield HubRefusal("The list of PyTorch Hub's pages", str(error), error.passing)
        return
    pages = []
    for number, (name, sha) in enumerate(entries):
        yield Progress("Reading pages", number, len(entries))
        try:
            page = web.fetch(
                f"{_REPOSITORY}/git/blobs/{sha}",
                partial(_parse_page, name),
                accept=_RAW,
                immutable=True,
                limit=_PAGE_BYTES,
            )
        except PageError as error:
            yield HubRefusal(name, str(error), error.passing)
        else:
            if page.front.get("layout") == "hub_detail":
                pages.append(page)
    taken: Counter[str] = Counter()
    for page in sorted(pages, key=lambda page: page.rank):
        try:
            if taken[page.domain] < top:
                yield from _records(page, documented, shipped)
                taken[page.domain] += 1
        except PageError as error:
            yield HubRefusal(page.name, str(error))


def _parse_list(body: bytes) -> list[tuple[str, str]]:
    entries = parse_json(body)
    if not isinstance(entries, list):
        raise PageError("is not the list that it should be")
    files = [
        (entry["name"], entry["sha"])
        for entry in entries
        if isinstance(entry, dict)
        and entry.get("type") == "file"
        and isinstance(entry.get("name"), str)
        and isinstance(entry.get("sha"), str)
    ]
    # README and the like are in capitals; each page costs one of the 60 requests of an hour.
    return [
        (name, sha)
        for name, sha in files
        if _PAGE_NAME.fullmatch(name) and not name[:-3].isupper() and _SHA.fullmatch(sha)
    ]


def _parse_page(name: str, body: bytes) -> _Page:
    return _Page(name, *cards.split(cards.decode(body)))


def _records(
    page: _Page, documented: Mapping[str, Any], shipped: frozenset[str]
) -> list[ApiRecord | Shipped]:
    title = page.front.get("title")
    summary = page.front.get("summary")
    if not isinstance(title, str) or not isinstance(summary, str) or not summary.strip():
        raise PageError("has no title or no summary")
    title, summary = cards.plain(title), cards.plain(summary)
    line = summary if summary.startswith(title) else f"{title}: {summary}"
    blocks = cards.code_blocks(page.markdown)
    # Without a heading of that name, pages begin with how to install and call the model.
    about = cards.description(page.markdown, below="model description")
    about = about or cards.shorten(summary).rstrip(".") + "."
    requirements = ["torch", *_requirements(blocks)]
    found: list[ApiRecord | Shipped] = []
    for call, repository, entry_point in _calls(blocks):
        name = f"{repository}/{entry_point}"
        source = ast.unparse(call)
        if name in shipped:
            found.append(Shipped(name))
            continue
        own = {
            keyword.arg: {"type": _type(keyword.value), "description": "Passed to the entry point."}
            for keyword in call.keywords
            if keyword.arg is not None
        }
        found.append(
            ApiRecord.from_json(
                {
                    "domain": page.domain,
                    "framework": "PyTorch Hub",
                    "functionality": cards.shorten(line),
                    "api_name": name,
                    "api_call": source,
                    "api_arguments": {**own, **documented},
                    "python_environment_requirements": requirements,
                    "example_code": f"import torch\n\nmodel = {source}\nprint(model)",
                    "description": f"{about} Code and licence: github.com/{repository}.",
                }
            )
        )
    return found


def _calls(blocks: list[str]) -> list[tuple[ast.Call, str, str]]:
    """The plain calls that load the page's models, each with repository and entry point.

    The first call tells which variable holds the model: what goes elsewhere is a helper.

    :raises PageError: where there is none, saying why.
    """
    calls: dict[str, tuple[ast.Call, str, str]] = {}
    variable: str | None = None
    reason = "has no torch.hub.load call"
    for block in blocks:
        tree = parse_code(re.sub(r"^[!%].*$", "", block, flags=re.MULTILINE))
        for node in ast.walk(tree) if tree else ():
            if not isinstance(node, ast.Assign):
                continue
            for call in ast.walk(node.value):
                if not isinstance(call, ast.Call) or ast.unparse(call.func) != "torch.hub.load":
                    continue
                target = ast.unparse(node.targets[0])
                if variable not in {None, target}:
                    continue
                variable = target
                try:
                    calls.setdefault(ast.unparse(call), (call, *_plain(call)))
                except PageError as error:
                    reason = str(error)
    if not calls:
        raise PageError(reason)
    return list(calls.values())


def _plain(call: ast.Call) -> tuple[str, str]:
    """The repository and the entry point of a call with nothing but literals.

    :raises PageError: for any other call.
    """
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    given = dict(zip(("repo_or_dir", "model"), call.args, strict=False)) | keywords
    try:
        values = {name: ast.literal_eval(value) for name, value in given.items()}
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise PageError("has a torch.hub.load call with more than literals in it") from None
    found = _SOURCE.fullmatch(str(values.get("repo_or_dir")))
    entry_point = values.get("model")
    if (
        len(call.args) > 2
        or None in keywords
        or found is None
        or not isinstance(entry_point, str)
        or not re.fullmatch(r"\w[\w.-]{0,80}", entry_point, re.ASCII)
        or values.get("source", "github") != "github"
        or len(ast.unparse(call)) > 300
    ):
        raise PageError("has a torch.hub.load call that names no repository and entry point")
    if values.get("trust_repo") or values.get("skip_validation"):
        raise PageError("has a torch.hub.load call that skips the question of trust")
    return found["repository"], entry_point


def _requirements(blocks: list[str]) -> list[str]:
    """What the page's ``pip install`` lines name."""
    words = [
        word.strip("'\"")
        for block in blocks
        for line in _PIP.findall(block)
        for word in line.split()
    ]
    named = [word for word in words if pip_requirement(word) and not word.endswith(".txt")]
    return [word for word in dict.fromkeys(named) if word != "torch"][:20]


def _type(value: ast.expr) -> str:
    return type(ast.literal_eval(value)).__name__.replace("NoneType", "None")
