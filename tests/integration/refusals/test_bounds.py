"""Requests that are too large: in bytes, in depth, in their query. Refused before they are read."""

import json
import time
from typing import Any

import pytest
from django.test import Client

from tests.api import SHORT, ApiClient, refusal
from tests.support import World


@pytest.mark.parametrize(
    "body",
    [
        "[" * 17 + "]" * 17, '{"a":' * 17 + "1" + "}" * 17, "[" * 30_000, '{"a":' * 10_000,
        "[{" * 9, '["]", ' + "[" * 16 + "]" * 17, '["\\\\", ' + "[" * 16 + "]" * 17,
        '["\\"]", ' + "[" * 16 + "]" * 17,
    ],
)  # fmt: skip
def test_a_body_that_is_nested_too_deep_is_refused(refusing: ApiClient, body: str) -> None:
    assert refusal(refusing.send(body)) == (400, "json_too_deep", None)


@pytest.mark.parametrize(
    "body",
    [json.dumps([{"note": "[{" * 50}] * 50), json.dumps("[" * 200), json.dumps(['\\"[[' * 50])],
)
def test_brackets_beside_each_other_and_in_strings_are_no_depth(
    refusing: ApiClient, body: str
) -> None:
    assert refusal(refusing.send(body)) == (400, "invalid", None)


@pytest.mark.parametrize("text", ['"' * 60_001, '"' + '\\"' * 30_000, '"' + "\\" * 60_001])
def test_a_body_made_to_be_scanned_again_and_again_is_scanned_once(
    refusing: ApiClient, text: str
) -> None:
    began = time.process_time()
    assert refusal(refusing.send("[]" * 20 + text)) == (400, "malformed_json", None)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/orders"), ("GET", "/orders"), ("DELETE", "/orders/1"), ("GET", "/balance/1"),
        ("GET", "/markets"), ("POST", "/nothing"), ("GET", "/health/live"),
    ],
)  # fmt: skip
def test_a_body_that_is_too_large_is_refused_everywhere(
    refusing: ApiClient, method: str, path: str, content_type: str
) -> None:
    body = json.dumps(SHORT | {"note": "x" * 70_000})
    response = refusing.generic(method, path, body, content_type=content_type)
    assert refusal(response) == (413, "body_too_large", None)


def test_nothing_of_a_body_that_is_too_large_is_read(refusing: ApiClient) -> None:
    class Unread:
        def read(self, *_: object) -> bytes:
            raise AssertionError("the body was read")

        readline = read

    unread: Any = {"wsgi.input": Unread(), "CONTENT_LENGTH": str(10**12)}
    response = refusing.post("/orders", content_type="application/json", **unread)
    assert refusal(response) == (413, "body_too_large", None)


def test_a_form_of_the_admin_may_be_larger_but_not_much(lasting_world: World) -> None:
    def send(size: int) -> int:
        body = f"username={'x' * size}"
        form = "application/x-www-form-urlencoded"
        return Client().post("/admin/login/", body, content_type=form).status_code

    assert send(100_000) == 200
    assert send(300_000) == 413


def test_a_file_for_the_admin_is_refused(lasting_world: World) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile

    response = Client().post("/admin/login/", {"file": SimpleUploadedFile("f", b"x" * 100)})
    assert response.status_code == 400


@pytest.mark.parametrize(("method", "path"), [("POST", "/orders"), ("GET", "/markets")])
def test_a_body_without_its_length_is_refused(refusing: ApiClient, method: str, path: str) -> None:
    response = refusing.generic(method, path, headers={"Transfer-Encoding": "chunked"})
    assert refusal(response) == (411, "length_required", None)


@pytest.mark.parametrize("path", ["/orders", "/markets", "/nothing", "/health/ready"])
def test_a_query_that_is_too_long_is_refused(refusing: ApiClient, path: str) -> None:
    assert refusal(refusing.get(f"{path}?cursor={'A' * 2_042}")) == (414, "query_too_long", None)
