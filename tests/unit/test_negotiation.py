"""The short way to JSON never answers in another form than the framework's own choice."""

import pytest
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from exchange.api.csv_stream import CsvRenderer
from exchange.api.negotiation import Negotiation

ACCEPTS = [
    None, "", "*/*", "application/json", "application/json; indent=4", "text/html", "text/csv",
    "application/*", "text/html,application/xhtml+xml,*/*;q=0.8", "application/json, text/csv",
    "image/png",
]  # fmt: skip
RENDERERS = [
    [JSONRenderer, BrowsableAPIRenderer],
    [JSONRenderer, BrowsableAPIRenderer, CsvRenderer],
    [CsvRenderer, JSONRenderer],
    [BrowsableAPIRenderer, JSONRenderer],
]


@pytest.mark.parametrize("accept", ACCEPTS)
@pytest.mark.parametrize("kinds", RENDERERS)
@pytest.mark.parametrize("query", ["", "?format=json", "?format=csv", "?format=api"])
def test_the_choice_is_that_of_the_framework(
    accept: str | None, kinds: list[type], query: str
) -> None:
    plain = APIRequestFactory().get(f"/balance/1{query}")
    if accept is not None:
        plain.META["HTTP_ACCEPT"] = accept
    request = Request(plain)
    renderers = [kind() for kind in kinds]

    def chosen(negotiation: DefaultContentNegotiation) -> object:
        try:
            return negotiation.select_renderer(request, renderers)
        except Exception as error:  # noqa: BLE001 - compared below: it must be the same
            return type(error)

    ours, theirs = chosen(Negotiation()), chosen(DefaultContentNegotiation())
    assert ours == theirs
    if accept == "image/png":
        assert ours is NotAcceptable or query
