from __future__ import annotations

import pytest

from gorilla_jupyter.answer import RequestError
from gorilla_jupyter.model.backend import ModelError
from gorilla_jupyter.server.errors import RestError, rest_error


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (RestError(404, "There is no such thing."), 404, "There is no such thing."),
        (RequestError("The instruction is empty."), 400, "The instruction is empty."),
        (ModelError("There is no model 'x'."), 503, "There is no model 'x'."),
        (KeyError("x"), 500, "The engine failed (KeyError: 'x'). The server's log says more."),
    ],
)
def test_every_exception_has_a_status_and_a_sentence(
    error: Exception, status: int, message: str
) -> None:
    found = rest_error(error)
    assert (found.status, found.message) == (status, message)
