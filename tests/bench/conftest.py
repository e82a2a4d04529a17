from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.model.conftest import ModelServer, serve


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    yield from serve("http")
