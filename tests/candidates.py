"""Records and candidates made by hand."""

from __future__ import annotations

from typing import Any

from gorilla_jupyter import verify
from gorilla_jupyter.answer import Candidate
from gorilla_jupyter.compose import compose
from gorilla_jupyter.record import ApiRecord


def a_record(api_call: str = "load('acme/voice')", **fields: Any) -> ApiRecord:
    return ApiRecord("Audio", "Widgets", "Speech", "acme/voice", api_call, **fields)


def a_candidate(api_call: str, imports: str, *requirements: str) -> Candidate:
    record = a_record(
        api_call,
        example_code=f"{imports}\nresult = {api_call}",
        python_environment_requirements=requirements,
    )
    code = compose(record, api_call)
    checks = verify.verify(record, api_call, code)
    return Candidate(record, api_call, "", 1.0, code, checks)
