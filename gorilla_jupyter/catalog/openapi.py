"""OpenAPI 3 documents as records: each operation becomes a call of httpx.

References are followed within the document only.
"""

from __future__ import annotations

import ast
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from gorilla_jupyter.catalog.http_call import (
    HttpCall,
    dictionary,
    environment,
    environment_name,
)
from gorilla_jupyter.record import ApiRecord, Argument, parse_call

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
MAX_SAMPLE_VALUES = 100
"""How many values a placeholder for a request body is made of."""

MAX_EXAMPLE_CHARACTERS = 2_000
"""A longer example of a value is not put into a cell."""

SIMPLE_CONTENT = (
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
)
"""The content types of bodies that httpx writes itself."""

_TYPES = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "array": "list",
    "object": "dict",
}
_PLACES = {
    "query": "params[{!r}]",
    "header": "headers[{!r}]",
    "cookie": "cookies[{!r}]",
}
_STAND_INS: Mapping[str, object] = {
    "integer": 1,
    "number": 1.0,
    "boolean": True,
    "array": [],
    "object": {},
    "null": None,
}

MAX_PROPERTIES = 1000
MAX_ARGUMENTS = 100_000
"""How many properties one operation may take, and all of a document together may have arguments: a
small file may say that each of many operations takes all that another part of it lists."""


@dataclass(frozen=True)
class Unread:
    """An operation, or a whole document, that gives no record.

    :ivar operation: such as ``"GET /pets"``; None for the document.
    :ivar path: the path of the operation, "" for the document.
    """

    operation: str | None
    path: str
    reason: str


class _DocumentError(Exception):
    """What keeps an operation from being a call; the message says it."""


def is_document(value: Mapping[str, Any]) -> bool:
    """Whether ``value`` says that it is an OpenAPI document, of whatever version."""
    return ("openapi" in value or "swagger" in value) and "api_call" not in value


def read_document(document: Mapping[str, Any], *, source: str) -> Iterator[ApiRecord | Unread]:
    """The operations of a document, in its order; one that cannot be read costs only itself."""
    version = document.get("openapi")
    if not re.match(r"3\.\d", str(version)):
        found = f"OpenAPI {version}" if version else f"Swagger {document.get('swagger')}"
        yield Unread(None, "", f"this is {found:.40}: only OpenAPI 3 is read, convert it first")
        return
    paths = document.get("paths")
    if not isinstance(paths, Mapping) or not paths:
        yield Unread(None, "", "this OpenAPI document has no paths, so there is nothing to call")
        return
    arguments = 0
    for path, item in paths.items():
        if str(path).startswith("x-"):
            continue
        if arguments > MAX_ARGUMENTS:
            yield Unread(str(path), path, f"{path}: nothing is read from here on, it is too much")
            return
        try:
            shared = _mapping(_resolved(item, document), "the path")
        except _DocumentError as error:
            yield Unread(str(path), path, f"{path}: {error}")
            continue
        for method in METHODS:
            if method not in shared:
                continue
            name = f"{method.upper()} {path}"
            try:
                record = _Operation(document, path, method, shared).record(source)
                arguments += len(record.api_arguments)
                yield record
            except _DocumentError as error:
                yield Unread(name, path, f"{name}: {error}")
            except RecursionError:
                yield Unread(name, path, f"{name}: nested too deep to be a record")
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                # Documents hold any value in any place.
                yield Unread(name, path, f"{name}: it cannot be read ({error})")


class _Operation:
    def __init__(
        self, document: Mapping[str, Any], path: str, method: str, item: Mapping[str, Any]
    ) -> None:
        self.document = document
        self.path = path
        self.method = method
        self.item = item
        self.operation = _mapping(item[method], "the operation")
        self.info = _optional(document.get("info"))
        self.title = _line(self.info.get("title")) or "OpenAPI"
        self.http = HttpCall(method)
        self.arguments: list[Argument] = []

    def record(self, source: str) -> ApiRecord:
        for parameter in self._parameters():
            self._take(parameter)
        self._take_body()
        self._take_security()
        self._take_url()
        api_call = ast.unparse(self.http.expression())
        if parse_call(api_call) is None:
            raise _DocumentError("it cannot be written as a Python call")
        name = f"{self.method.upper()} {self.path}"
        summary = _line(self.operation.get("summary"))
        description = _text(self.operation.get("description"))
        if self.operation.get("deprecated") is True:
            description = f"Deprecated. {description or summary}"
        tags = self.operation.get("tags")
        domain = ", ".join(map(_line, tags)) if isinstance(tags, list) else ""
        first_line = _line(description.partition("\n")[0])
        return ApiRecord(
            domain=domain or self.title,
            framework=self.title,
            functionality=summary or textwrap.shorten(first_line, 120, placeholder=" …") or name,
            api_name=_line(self.operation.get("operationId")) or name,
            api_call=api_call,
            api_arguments=tuple(self.arguments),
            python_environment_requirements=("httpx",),
            example_code=self.http.cell(self._result()),
            description=description or summary,
            api_version=_line(self.info.get("version")),
            source=source,
        )

    def _parameters(self) -> list[Mapping[str, Any]]:
        found: dict[tuple[str, str], Mapping[str, Any]] = {}
        for level in (self.item, self.operation):
            given = level.get("parameters")
            for reference in given if isinstance(given, list) else ():
                parameter = _mapping(_resolved(reference, self.document), "a parameter")
                name, place = _line(parameter.get("name")), _line(parameter.get("in"))
                if name and not _is_set_elsewhere(name, place):
                    found[place, name] = parameter
        return list(found.values())

    def _take(self, parameter: Mapping[str, Any]) -> None:
        name, place = _line(parameter["name"]), _line(parameter["in"])
        required = parameter.get("required") is True or place == "path"
        schema = self.schema(parameter.get("schema") or _first_media(parameter)[1].get("schema"))
        description = _text(parameter.get("description"))
        self._document(
            _PLACES.get(place, "{{{}}}"), name, schema, required=required, text=description
        )
        if not (required or "default" in schema):
            return  # left to the server
        sample = self._sample_of(parameter, schema, name)
        variable = self.http.variable(place, name, sample, description)
        if place == "query":
            self.http.params[name] = variable
        elif place in ("header", "cookie"):
            into = self.http.headers if place == "header" else self.http.cookies
            is_text = isinstance(sample, str)
            into[name] = variable if is_text else ast.Call(ast.Name("str"), [variable], [])

    def _document(
        self, place: str, name: str, schema: Mapping[str, Any], *, required: bool, text: str
    ) -> None:
        # By the place in the call: what the operation calls "timeout" is no argument of httpx.
        choices = schema.get("enum")
        if isinstance(choices, list) and _is_literal(choices):
            text = f"{text} One of: {', '.join(map(str, choices))}.".strip()
        default = schema.get("default")
        given = not required and "default" in schema and _is_literal(default)
        self.arguments.append(
            Argument(
                place.format(name),
                type=_TYPES.get(_type(schema), ""),
                default=repr(default) if given else None,
                description=text,
            )
        )

    def _take_body(self) -> None:
        if "requestBody" not in self.operation:
            return
        body = _mapping(_resolved(self.operation["requestBody"], self.document), "the body")
        kind, media = _first_media(body)
        if not kind:
            return
        schema = self.schema(media.get("schema"))
        required = schema.get("required")
        sample = self._sample_of(media, schema, "body")
        if kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
            word = "data"
        elif kind == "application/json" or kind.endswith("+json"):
            word = "json"
        else:
            word = "content"
            sample = sample if isinstance(sample, str) else f"<{kind}>"
        for name, reference in _properties(schema, self).items():
            part = self.schema(reference)
            place = "files[{!r}]" if word == "data" and _is_file(part) else f"{word}[{{!r}}]"
            needed = isinstance(required, list) and name in required
            self._document(place, name, part, required=needed, text=_text(part.get("description")))
        if kind == "multipart/form-data" and isinstance(sample, dict):
            self._take_form(sample, schema)
            return
        if kind not in SIMPLE_CONTENT:
            self.http.headers["Content-Type"] = ast.Constant(kind)
        self.http.places["body"] = (sample, _text(body.get("description")))
        self.http.body[word] = ast.Name("body")

    def _take_form(self, sample: dict[str, object], schema: Mapping[str, Any]) -> None:
        fields = {name: self.schema(part) for name, part in _properties(schema, self).items()}
        files = {name for name in sample if _is_file(fields.get(name, {}))}
        for word, names in (("data", sample.keys() - files), ("files", files)):
            entries = {
                name: self.http.variable(
                    word,
                    name,
                    f"<{name}>".encode() if name in files else sample[name],
                    "the content of the file" if name in files else "",
                )
                for name in sample
                if name in names
            }
            if entries:
                self.http.body[word] = dictionary(entries)

    def _take_security(self) -> None:
        given = self.operation.get("security", self.document.get("security"))
        listed = given if isinstance(given, list) else []
        alternatives = [item for item in listed if isinstance(item, Mapping)]
        if not alternatives or not all(alternatives):
            return  # where one of the alternatives is empty, no key is needed
        components = _optional(self.document.get("components"))
        schemes = _optional(components.get("securitySchemes"))
        for name in alternatives[0]:
            if name not in schemes:
                raise _DocumentError(f"its security scheme '{name}' is described nowhere")
            self._take_scheme(name, _mapping(_resolved(schemes[name], self.document), "a scheme"))

    def _take_scheme(self, name: str, scheme: Mapping[str, Any]) -> None:
        # "KEY" and the title: the key of one API must not go to the next that says "bearerAuth",
        # and no document may spell the variable of a secret that is there for something else.
        variable = f"KEY_{environment_name(self.title)}_{environment_name(name)}"
        kind, method = scheme.get("type"), str(scheme.get("scheme")).lower()
        secret = environment(variable)
        if kind == "apiKey":
            place = {"query": self.http.params, "cookie": self.http.cookies}.get(
                str(scheme.get("in")), self.http.headers
            )
            place[_line(scheme.get("name")) or name] = secret
        elif kind == "http" and method in ("basic", "digest"):
            pair = [environment(f"{variable}_USERNAME"), environment(f"{variable}_PASSWORD")]
            self.http.auth = (
                ast.Tuple(pair)
                if method == "basic"
                else ast.Call(ast.Attribute(ast.Name("httpx"), "DigestAuth"), pair, [])
            )
        elif kind in ("http", "oauth2", "openIdConnect"):
            self.http.headers["Authorization"] = ast.JoinedStr(
                [ast.Constant("Bearer "), ast.FormattedValue(secret, -1)]
            )
        else:
            raise _DocumentError(f"its security scheme '{name}' ({kind}) is not supported")

    def _take_url(self) -> None:
        base = self._server()
        if "://" in base:
            self.http.url.append(ast.Constant(base))
        else:
            remark = "where the API is served; its document does not say"
            self.http.places["base_url"] = (f"https://example.com{base}", remark)
            self.http.url.append(ast.Name("base_url"))
        for number, piece in enumerate(re.split(r"\{([^{}]+)\}", self.path)):
            if number % 2:
                self.http.url.append(self.http.variable("path", piece, f"<{piece}>"))
            elif piece:
                self.http.url.append(ast.Constant(piece))

    def _server(self) -> str:
        for level in (self.operation, self.item, self.document):
            servers = level.get("servers")
            if isinstance(servers, list) and servers:
                server = _mapping(servers[0], "the server")
                url = _line(server.get("url"))
                for name, variable in _optional(server.get("variables")).items():
                    url = url.replace(f"{{{name}}}", _line(_optional(variable).get("default")))
                if "://" in url and not re.match("https?://", url):
                    raise _DocumentError(f"its server '{url:.60}' is not reached by HTTP")
                url = url.rstrip("/")
                return url if "://" in url or url.startswith("/") or not url else f"/{url}"
        return ""

    def schema(self, reference: object) -> Mapping[str, Any]:
        return _optional(_resolved(reference, self.document))

    def _sample_of(
        self, described: Mapping[str, Any], schema: Mapping[str, Any], name: str
    ) -> object:
        examples = _optional(described.get("examples"))
        named = [_optional(_resolved(example, self.document)) for example in examples.values()]
        for example in (described, *named):
            for key in ("example", "value"):
                if key in example and _is_literal(example[key]):
                    return example[key]
        return _Sampler(self).sample(schema, name)

    def _result(self) -> str:
        responses = _optional(self.operation.get("responses"))
        kinds: set[str] = set()
        for status, reference in responses.items():
            if str(status).startswith("2"):
                try:
                    kinds.update(_optional(self.schema(reference).get("content")))
                except _DocumentError:
                    kinds.add("application/json")
        if self.method == "head":
            return "response.headers"
        if responses and not any("json" in kind or kind == "*/*" for kind in kinds):
            return "response.text"
        return "response.json()"


class _Sampler:
    """Makes a placeholder that a schema allows, small however large or cyclic the schema is."""

    def __init__(self, operation: _Operation) -> None:
        self._operation = operation
        self._left = MAX_SAMPLE_VALUES
        self._within: list[int] = []

    def sample(self, schema: Mapping[str, Any], name: str) -> object:
        self._left -= 1
        for key in ("example", "default", "const"):
            if key in schema and _is_literal(schema[key]):
                return schema[key]
        for key in ("examples", "enum"):
            values = schema.get(key)
            if isinstance(values, list) and values and _is_literal(values[0]):
                return values[0]
        if self._left < 0 or id(schema) in self._within:
            return {} if _type(schema) == "object" else f"<{name}>"
        self._within.append(id(schema))
        try:
            return self._built(schema, name)
        finally:
            self._within.pop()

    def _built(self, schema: Mapping[str, Any], name: str) -> object:
        for key in ("oneOf", "anyOf"):
            choices = schema.get(key)
            if isinstance(choices, list) and choices:
                return self.sample(self._operation.schema(choices[0]), name)
        properties = _properties(schema, self._operation)
        if properties:
            required = schema.get("required")
            wanted = [key for key in properties if isinstance(required, list) and key in required]
            return {
                key: self.sample(self._operation.schema(properties[key]), key)
                for key in wanted or properties
                if self._left > 0
            }
        kind = _type(schema)
        if kind == "array" and self._left > 0:
            return [self.sample(self._operation.schema(schema.get("items")), name)]
        return _STAND_INS.get(kind, f"<{name}>")


def _resolved(value: object, document: Mapping[str, Any]) -> object:
    """What ``value`` refers to, where it is a reference."""
    seen: set[str] = set()
    while isinstance(value, Mapping) and isinstance(value.get("$ref"), str):
        reference = value["$ref"]
        if not reference.startswith("#"):
            raise _DocumentError(
                f"it refers to '{reference:.200}' outside of this file, which is not fetched"
            )
        if not re.match("#(/|$)", reference):
            raise _DocumentError(f"it refers to '{reference:.200}', and anchors are not followed")
        if reference in seen:
            raise _DocumentError(f"its reference '{reference:.200}' leads back to itself")
        seen.add(reference)
        value = document
        for key in reference[1:].split("/")[1:]:
            key = unquote(key).replace("~1", "/").replace("~0", "~")
            if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            elif isinstance(value, Mapping) and key in value:
                value = value[key]
            else:
                raise _DocumentError(f"it refers to '{reference:.200}', which is not there")
    return value


def _properties(schema: Mapping[str, Any], operation: _Operation) -> dict[str, object]:
    """The properties of an object, with those of all that it is put together from."""
    found: dict[str, object] = {}
    seen: set[int] = set()
    left = [schema]
    while left:
        part = left.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        found = {**_optional(part.get("properties")), **found}
        parts = part.get("allOf")
        left += map(operation.schema, reversed(parts) if isinstance(parts, list) else ())
        if len(found) > MAX_PROPERTIES:
            raise _DocumentError(f"it takes more than {MAX_PROPERTIES} properties")
    return found


def _first_media(described: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The content type of a body that httpx takes most simply, and what is said of it."""
    content = _optional(described.get("content"))
    simple = [kind for kind in SIMPLE_CONTENT if kind in content]
    for kind in (*simple, *content):
        return kind, _optional(content[kind])
    return "", {}


def _type(schema: Mapping[str, Any]) -> str:
    named = schema.get("type")
    kinds = [kind for kind in (named if isinstance(named, list) else [named]) if kind != "null"]
    if kinds and isinstance(kinds[0], str):
        return kinds[0]
    return "object" if "properties" in schema or "allOf" in schema else ""


def _is_file(schema: Mapping[str, Any]) -> bool:
    return schema.get("format") == "binary" or "contentMediaType" in schema


def _is_set_elsewhere(name: str, place: str) -> bool:
    # OpenAPI says of these headers that parameters do not describe them.
    return place == "header" and name.lower() in ("accept", "authorization", "content-type")


def _is_literal(value: object) -> bool:
    """Whether a cell can show ``value``."""
    try:
        return len(json.dumps(value, allow_nan=False)) <= MAX_EXAMPLE_CHARACTERS
    except ValueError:
        return False


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _DocumentError(f"{what} is no object")
    return value


def _optional(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _line(value: object) -> str:
    # YAML reads the version 1.0 as a number.
    return " ".join(str(value).split()) if isinstance(value, str | int | float) else ""
