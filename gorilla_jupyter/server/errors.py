"""What can go wrong with a request, as a status and a sentence, in either process."""

from __future__ import annotations

CANCELLED = 499
"""The status of a request that was cancelled; the standard has none, and this one is understood."""


class RestError(Exception):
    """A request that fails; the message is a sentence for whoever made it.

    :ivar status: the HTTP status that tells a program the same.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def rest_error(error: BaseException) -> RestError:
    """The status and the sentence of any exception."""
    from gorilla_jupyter.answer import RequestError
    from gorilla_jupyter.model.backend import ModelError

    if isinstance(error, RestError):
        return error
    if isinstance(error, RequestError):
        return RestError(400, str(error))
    if isinstance(error, ModelError):
        return RestError(503, str(error))
    return RestError(
        500, f"The engine failed ({type(error).__name__}: {error}). The server's log says more."
    )
