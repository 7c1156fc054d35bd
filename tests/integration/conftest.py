"""A client of the HTTP interface for the tests that need servers."""

from collections.abc import Iterator

import pytest

from orders import outbox
from tests.api import ApiClient
from tests.support import World


@pytest.fixture
def api(exchange_world: World) -> Iterator[ApiClient]:
    """A client of a freshly seeded exchange."""
    yield ApiClient()
    outbox.flush()
