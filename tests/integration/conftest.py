"""A client of the HTTP interface for the tests that need servers."""

from collections.abc import Iterator

import pytest

from orders import outbox
from tests.api import ApiClient, openapi
from tests.support import World


@pytest.fixture
def api(exchange_world: World) -> Iterator[ApiClient]:
    """A client of a freshly seeded exchange."""
    openapi()  # made once, and not by several threads at once: the generator cannot do that
    yield ApiClient()
    outbox.flush()
