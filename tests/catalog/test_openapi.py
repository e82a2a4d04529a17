"""Each operation of an OpenAPI document becomes a call that can be made, or is named."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gorilla_jupyter.answer import CheckStatus
from gorilla_jupyter.catalog import openapi
from gorilla_jupyter.catalog.files import Reading, read_file
from gorilla_jupyter.compose import compose
from gorilla_jupyter.record import ApiRecord
from gorilla_jupyter.verify import check_documented, check_syntax

PETSTORE = Path(__file__).parents[1] / "fixtures" / "petstore.yaml"


def read(tmp_path: Path, document: dict[str, Any]) -> Reading:
    path = tmp_path / "api.json"
    path.write_text(json.dumps(document))
    return read_file(path, source="api")


def a_document(*paths: tuple[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "openapi": "3.0.3",
        "info": {"title": "Shop", "version": "2"},
        "servers": [{"url": "https://shop.example/"}],
        "paths": dict(paths),
        **more,
    }


def an_operation(**more: Any) -> dict[str, Any]:
    return {"get": {"operationId": "find", "summary": "Find it", **more}}


def the_record(tmp_path: Path, operation: dict[str, Any], **more: Any) -> ApiRecord:
    reading = read(tmp_path, a_document(("/items", operation), **more))
    assert reading.refusals == ()
    (record,) = reading.records
    return record


def the_refusal(tmp_path: Path, operation: dict[str, Any], **more: Any) -> str:
    fine = ("/fine", an_operation(operationId="fine"))
    reading = read(tmp_path, a_document(("/items", operation), fine, **more))
    assert [record.api_name for record in reading.records] == ["fine"]
    (refusal,) = reading.refusals
    return str(refusal)


@pytest.fixture(scope="module")
def petstore() -> dict[str, ApiRecord]:
    reading = read_file(PETSTORE, source="petstore")
    assert reading.refusals == ()
    return {record.api_name: record for record in reading.records}


def test_every_operation_is_a_record(petstore: dict[str, ApiRecord]) -> None:
    assert list(petstore) == ["listPets", "addPet", "GET /pets/{petId}", "withdrawPet", "addPhoto"]


def test_an_operation_is_documented_as_the_document_says(petstore: dict[str, ApiRecord]) -> None:
    record = petstore["listPets"]
    assert (record.domain, record.framework, record.functionality) == (
        "Pets",
        "Pet Shop",
        "List the pets that are for sale",
    )
    assert record.description == "One page of pets, the newest first."
    assert (record.api_version, record.package) == ("1.0", "httpx")
    assert record.python_environment_requirements == ("httpx",)


def test_parameters_are_documented_by_their_place_in_the_call(
    petstore: dict[str, ApiRecord],
) -> None:
    arguments = {argument.name: argument for argument in petstore["listPets"].api_arguments}
    assert list(arguments) == [
        "headers['X-Trace']",
        "params['limit']",
        "params['filter[kind]']",
        "params['from']",
    ]
    limit = arguments["params['limit']"]
    assert (limit.type, limit.default, limit.description) == ("int", "10", "How many")


@pytest.mark.parametrize(
    ("name", "call"),
    [
        (
            "listPets",
            "httpx.get('https://eu.pets.example/v1/pets', "
            "params={'limit': limit, 'from': from_}, headers={'X-Trace': str(x_trace), "
            "'X-Shop-Key': os.environ['KEY_PET_SHOP_SHOP_KEY']})",
        ),
        ("GET /pets/{petId}", "httpx.get(f'https://eu.pets.example/v1/pets/{pet_id}')"),
        (
            "withdrawPet",
            "httpx.request('DELETE', f'https://eu.pets.example/v1/pets/{pet_id}', json=body, "
            "auth=(os.environ['KEY_PET_SHOP_STAFF_USERNAME'], "
            "os.environ['KEY_PET_SHOP_STAFF_PASSWORD']))",
        ),
        (
            "addPhoto",
            "httpx.post(f'https://eu.pets.example/v1/pets/{pet_id}/photo', "
            "headers={'X-Shop-Key': os.environ['KEY_PET_SHOP_SHOP_KEY']}, "
            "data={'caption': caption}, files={'photo': photo})",
        ),
    ],
)
def test_an_operation_is_one_call(petstore: dict[str, ApiRecord], name: str, call: str) -> None:
    assert petstore[name].api_call == call


def test_the_calls_pass_the_checks_that_need_no_environment(
    petstore: dict[str, ApiRecord],
) -> None:
    for record in petstore.values():
        code = compose(record, record.api_call)
        checks = check_documented(record, record.api_call), check_syntax(record.api_call, code)
        assert [check.status for check in checks] == [CheckStatus.PASSED] * 2


@dataclass
class _Shop:
    url: str
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Shop]:
    """A server that notes what it is asked and answers with JSON."""
    noted: list[tuple[str, str, dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            noted.append((self.command, self.path, dict(self.headers), body))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"sold": true}')

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    monkeypatch.setenv("NO_PROXY", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield _Shop(f"http://127.0.0.1:{server.server_port}", noted)
        server.shutdown()
        thread.join()


@pytest.fixture
def sold(shop: _Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, ApiRecord]:
    """The fixture's operations at ``shop``, its keys in the environment."""
    for name in ("SHOP_KEY", "ACCOUNT", "STAFF_USERNAME", "STAFF_PASSWORD"):
        monkeypatch.setenv(f"KEY_PET_SHOP_{name}", f"secret {name}")
    text = PETSTORE.read_text().replace("https://{region}.pets.example", shop.url)
    path = tmp_path / "shop.yaml"
    path.write_text(text)
    return {record.api_name: record for record in read_file(path, source="shop").records}


def run(record: ApiRecord) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(compose(record, record.api_call), record.api_name, "exec"), names)
    return names


@pytest.mark.parametrize(
    ("name", "request_line"),
    [
        ("listPets", ("GET", "/v1/pets?limit=10&from=%3Cfrom%3E")),
        ("addPet", ("POST", "/v1/pets")),
        ("GET /pets/{petId}", ("GET", "/v1/pets/1")),
        ("withdrawPet", ("DELETE", "/v1/pets/1")),
        ("addPhoto", ("POST", "/v1/pets/1/photo")),
    ],
)
def test_a_cell_makes_the_request_as_it_is(
    sold: dict[str, ApiRecord], shop: _Shop, name: str, request_line: tuple[str, str]
) -> None:
    assert run(sold[name])["response"].json() == {"sold": True}
    ((method, path, _, _),) = shop.requests
    assert (method, path) == request_line


def test_keys_come_from_the_environment(sold: dict[str, ApiRecord], shop: _Shop) -> None:
    for name in ("listPets", "addPet", "withdrawPet"):
        run(sold[name])
    headers = [request[2] for request in shop.requests]
    assert headers[0]["X-Shop-Key"] == "secret SHOP_KEY"
    assert headers[1]["Authorization"] == "Bearer secret ACCOUNT"
    assert headers[2]["Authorization"].startswith("Basic ")


def test_a_json_body_has_what_is_required(sold: dict[str, ApiRecord], shop: _Shop) -> None:
    run(sold["addPet"])
    assert json.loads(shop.requests[0][3]) == {"name": "<name>", "mother": {}}


def test_a_cyclic_reference_is_followed_once(petstore: dict[str, ApiRecord]) -> None:
    assert "body = {'name': '<name>', 'mother': {}}" in petstore["addPet"].example_code


def test_a_document_in_json_is_read_too(tmp_path: Path) -> None:
    record = the_record(tmp_path, an_operation())
    assert record.api_call == "httpx.get('https://shop.example/items')"


def test_an_anchor_is_not_taken_for_the_whole_document(tmp_path: Path) -> None:
    said = the_refusal(tmp_path, an_operation(parameters=[{"$ref": "#size"}]))
    assert "'#size', and anchors are not followed" in said


def test_parameters_of_one_name_in_two_places_are_two(tmp_path: Path) -> None:
    operation = an_operation(
        parameters=[
            {"name": "name", "in": where, "required": True, "example": where}
            for where in ("query", "header")
        ]
    )
    record = the_record(tmp_path, operation)
    assert "name = 'query'" in record.example_code
    assert "name_2 = 'header'" in record.example_code
    assert "params={'name': name}, headers={'name': name_2}" in record.api_call


def test_a_body_that_takes_too_much_is_refused(tmp_path: Path) -> None:
    schema: dict[str, Any] = {
        "properties": {f"p{number}": {} for number in range(openapi.MAX_PROPERTIES + 1)}
    }
    body = {"content": {"application/json": {"schema": schema}}}
    said = the_refusal(tmp_path, an_operation(requestBody=body))
    assert f"it takes more than {openapi.MAX_PROPERTIES} properties" in said


def test_a_document_that_lists_too_much_is_read_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openapi, "MAX_ARGUMENTS", 1)
    two = [{"name": name, "in": "query"} for name in ("size", "colour")]
    paths = [(f"/{name}", an_operation(operationId=name, parameters=two)) for name in "abc"]
    reading = read(tmp_path, a_document(*paths))
    assert [record.api_name for record in reading.records] == ["a"]
    (refusal,) = reading.refusals
    assert "/b: nothing is read from here on, it is too much" in str(refusal)


def test_an_external_reference_is_named_and_never_fetched(tmp_path: Path, shop: _Shop) -> None:
    (tmp_path / "other.json").write_text('{"name": "q", "in": "query"}')
    for reference in ("other.json", f"{shop.url}/parameter.json"):
        said = the_refusal(tmp_path, an_operation(parameters=[{"$ref": reference}]))
        assert f"GET /items: it refers to '{reference}' outside of this file" in said
        assert "not fetched" in said
    assert shop.requests == []


@pytest.mark.parametrize(
    ("operation", "sentence"),
    [
        (an_operation(parameters=[{"$ref": "#/components/none"}]), "which is not there"),
        (an_operation(parameters=[{"$ref": "#/x-loop"}]), "leads back to itself"),
        (an_operation(parameters=[7]), "a parameter is no object"),
        (an_operation(security=[{"none": []}]), "security scheme 'none' is described nowhere"),
        (an_operation(servers=[{"url": "ftp://shop.example"}]), "is not reached by HTTP"),
        (an_operation(requestBody="text"), "the body is no object"),
        ({"get": 7}, "the operation is no object"),
    ],
)
def test_a_faulty_operation_is_named_and_the_others_are_read(
    tmp_path: Path, operation: dict[str, Any], sentence: str
) -> None:
    said = the_refusal(tmp_path, operation, **{"x-loop": {"$ref": "#/x-loop"}})
    assert "GET /items: " in said
    assert sentence in said


def test_a_faulty_operation_is_told_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    text = PETSTORE.read_text()
    path.write_text(text.replace("security: []", "security: [{ nothing: [] }]"))
    (refusal,) = read_file(path, source="shop").refusals
    assert text.splitlines()[refusal.line - 1] == "  /pets/{petId}:"


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"swagger": "2.0", "paths": {}}, "this is Swagger 2.0: only OpenAPI 3 is read"),
        ({"openapi": "4.0.0", "paths": {}}, "this is OpenAPI 4.0.0"),
        ({"openapi": "3.1.0", "webhooks": {}}, "has no paths"),
        ({"openapi": "3.1.0", "paths": []}, "has no paths"),
    ],
)
def test_a_document_without_operations_says_why(
    tmp_path: Path, document: dict[str, Any], sentence: str
) -> None:
    reading = read(tmp_path, document)
    assert reading.records == ()
    assert sentence in str(reading.refusals[0])


def test_a_document_without_server_asks_for_one(tmp_path: Path) -> None:
    for servers in ([], [{"url": "/v2"}]):
        record = the_record(tmp_path, an_operation(), servers=servers)
        assert record.api_call == "httpx.get(f'{base_url}/items')"
        assert "base_url = 'https://example.com" in record.example_code


HOSTILE = "x' + __import__('os').system('id') + '{y}\\"


@pytest.mark.parametrize("place", ["query", "header", "cookie"])
def test_a_name_never_becomes_code(tmp_path: Path, place: str) -> None:
    parameter = {"name": HOSTILE, "in": place, "required": True, "description": "\n" + HOSTILE}
    record = the_record(tmp_path, an_operation(parameters=[parameter], operationId=HOSTILE))
    assert record.callee == "httpx.get"
    assert "__import__('os')" not in record.api_call.replace(repr(HOSTILE), "")


def test_names_that_python_has_are_not_taken(tmp_path: Path) -> None:
    names = ["class", "str", "httpx", "a-b", "aB", "a_b", "1st", "?"]
    parameters = [{"name": name, "in": "query", "required": True} for name in names]
    record = the_record(tmp_path, an_operation(parameters=parameters))
    assert record.api_call.endswith(
        "params={'class': class_, 'str': str_, 'httpx': httpx_2, 'a-b': a_b, 'aB': a_b_2, "
        "'a_b': a_b_3, '1st': _1st, '?': value})"
    )


def test_two_apis_never_share_a_key(tmp_path: Path) -> None:
    scheme = {"components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}}}
    calls = [
        the_record(
            tmp_path, an_operation(security=[{"key": []}]), info={"title": title}, **scheme
        ).api_call
        for title in ("Books", "Cars")
    ]
    assert "os.environ['KEY_BOOKS_KEY']" in calls[0]
    assert "os.environ['KEY_CARS_KEY']" in calls[1]


def test_a_key_that_is_optional_is_left_out(tmp_path: Path) -> None:
    record = the_record(tmp_path, an_operation(security=[{"key": []}, {}]))
    assert "environ" not in record.example_code


def test_a_body_of_endless_width_gives_a_small_placeholder(tmp_path: Path) -> None:
    reference = {"$ref": "#/components/schemas/Wide"}
    wide = {"type": "object", "properties": {f"p{n}": reference for n in range(200)}}
    schemas: dict[str, Any] = {"Wide": wide}
    for depth in range(10):
        properties = {f"p{n}": {"$ref": f"#/components/schemas/D{depth + 1}"} for n in range(50)}
        schemas[f"D{depth}"] = {"type": "object", "properties": properties}
    schemas["D10"] = wide
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/D0"}}}}
    record = the_record(tmp_path, an_operation(requestBody=body), components={"schemas": schemas})
    assert len(record.example_code) < 20_000


def test_a_schema_put_together_from_itself_is_read(tmp_path: Path) -> None:
    self_reference = {"$ref": "#/components/schemas/Self"}
    whole = {"allOf": [self_reference] * 50, "properties": {"name": {"type": "string"}}}
    body = {"content": {"application/json": {"schema": self_reference}}}
    record = the_record(
        tmp_path, an_operation(requestBody=body), components={"schemas": {"Self": whole}}
    )
    assert "body = {'name': '<name>'}" in record.example_code


def test_a_long_example_is_not_put_into_the_cell(tmp_path: Path) -> None:
    schema = {"type": "string", "example": "x" * 5_000}
    parameter = {"name": "q", "in": "query", "required": True, "schema": schema}
    record = the_record(tmp_path, an_operation(parameters=[parameter]))
    assert "q = '<q>'" in record.example_code


@pytest.mark.parametrize("security", [5, True, "key", {"key": []}, [7]])
def test_a_nonsensical_value_costs_at_most_its_operation(tmp_path: Path, security: object) -> None:
    assert the_record(tmp_path, an_operation(security=security)).api_call
