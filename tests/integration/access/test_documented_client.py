"""The client in docs/security.md, run as it stands there against a running server."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from exchange.access.keys import NewApiKey
from exchange.access.signatures import HOW_TO_SIGN
from orders.models import Order
from tests.support import World

pytestmark = pytest.mark.locked

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "security.md").read_text()


def test_the_documented_client_places_an_order(
    world: World, key: NewApiKey, live_server: LiveServer
) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    program = program.replace('"ek_..."', f'"{key.key.public_id}"').replace(
        '"..."', f'"{key.secret}"'
    )
    program = program.replace("http://127.0.0.1:5002", live_server.url)
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ran.stdout, ran.stderr) == ("pending\n", "")
    assert Order.objects.get().user_id == 1


def test_schema_and_document_say_the_same_of_what_is_signed() -> None:
    lines = re.findall(r"^ *\d\. (.*(?:\n   \w.*)*)", HOW_TO_SIGN, re.MULTILINE)
    assert len(lines) == 6
    for number, line in enumerate(lines, start=1):
        assert f"\n{number}. {line}" in DOCUMENT
