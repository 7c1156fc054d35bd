"""No secret is logged: by its name, in an address, or because it is one of this process's own."""

import io
import json
import logging
import sys
import time
from typing import Any

import pytest
import structlog
from django.conf import settings

from exchange.redaction import RedactingFilter, Redactor, known_secrets, redactor

PLAIN = Redactor()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgres://user:pa@ss@host:5432/x", "postgres://user:***@host:5432/x"),
        ("at redis://:pw@h:1/0.", "at redis://:***@h:1/0."),
        ("'amqp://a:b%40c@h'", "'amqp://a:***@h'"),
        ("host=h password=hunter2 dbname=x", "host=h password=*** dbname=x"),
        ("password='a b' host=h", "password='***' host=h"),
        ('{"password": "hun\\"ter2", "a": 1}', '{"password": "***", "a": 1}'),
        ('"{\\"password\\": \\"hunter2\\", \\"a\\": 1}"', '"{\\"password\\": \\"***\\", \\"a\\": 1}"'),
        ("{'DJANGO_SECRET_KEY': 'hunter2'}", "{'DJANGO_SECRET_KEY': '***'}"),
        ("SECRET_KEY = b'hunter2'", "SECRET_KEY = b'***'"),
        ("/x?signature=abc&ts=1", "/x?signature=***&ts=1"),
        ("api_key=K123, x", "api_key=***, x"),
        ("X-Api-Key: K123", "X-Api-Key: ***"),
        ("X-Signature: deadbeef", "X-Signature: ***"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("'HTTP_AUTHORIZATION': 'HMAC-SHA256 a=b, c=d'", "'HTTP_AUTHORIZATION': '***'"),
        ("Cookie: sessionid=abc; csrftoken=def", "Cookie: ***"),
        ("Set-Cookie: sessionid=abc\nnext line", "Set-Cookie: ***\nnext line"),
        ("sent Bearer abcdefghijkl", "sent Bearer ***"),
        ("csrfmiddlewaretoken=abc&next=/", "csrfmiddlewaretoken=***&next=/"),
    ],
)  # fmt: skip
def test_a_secret_is_found_by_what_stands_beside_it(text: str, expected: str) -> None:
    assert PLAIN.text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "no password given", "the secret is out", "http://h:5432/orders?at=a@b", "key=reads:user:7",
        "https://example.org/a:b@c", "order 7 of user 1 in ADA-USDT", "Bearer tokens are fine",
        '{"event": "trade_matched", "order_id": 7, "request_id": "a1"}', "previous_offset=7 token=3",
    ],
)  # fmt: skip
def test_other_text_is_left_alone(text: str) -> None:
    assert PLAIN.text(text) == text


def test_the_secrets_of_the_environment_are_found_anywhere() -> None:
    known = known_secrets(
        {
            "DJANGO_SECRET_KEY": "abc/def+ghi",
            "DATABASE_URL": "postgres://u:p%40ss-word@h/x",
            "REDIS_URL": "redis://:redis-pw@h/0",
            "POSTGRES_PASSWORD": "exchange",
            "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
            "HOME": "/root",
        }
    )
    assert known == {"abc/def+ghi", "p%40ss-word", "p@ss-word", "redis-pw"}
    text = Redactor(known).text("x p@ss-word y abc/def+ghi z redis-pw exchange.api")
    assert text == "x *** y *** z *** exchange.api"


def test_each_of_several_encryption_keys_is_found_by_itself() -> None:
    known = known_secrets({"API_KEY_ENCRYPTION_KEYS": "new-key-1, old-key-2"})
    assert Redactor(known).text("tried old-key-2 and new-key-1") == "tried *** and ***"


def test_fields_are_hidden_by_their_names_however_deep() -> None:
    event = {
        "password": "x", "nested": {"Api-Key": "k", "list": [{"cookie": {"a": 1}}]}, "user": "a",
        "signature": b"abc", "key": "reads:user", "authorization": None, "password_given": True,
    }  # fmt: skip
    assert PLAIN.processor(None, "", event) == {
        "password": "***", "nested": {"Api-Key": "***", "list": [{"cookie": "***"}]}, "user": "a",
        "signature": "***", "key": "reads:user", "authorization": None, "password_given": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["x" * 60_000, "a." * 30_000, "password=" * 7_000, "a://" * 15_000, "secret" * 10_000,
     "cookie: " * 8_000, "a://b:" + "c" * 60_000, "password='" + "\\" * 60_000, '\\"' * 30_000],
)  # fmt: skip
def test_no_text_takes_long(text: str) -> None:
    began = time.process_time()
    PLAIN.text(text)
    assert time.process_time() - began < 2


LOGGING: Any = settings.LOGGING


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Log with `log`, and return what the project's own handler writes."""

    def write(log: Any, fmt: str = "structured") -> str:
        config = LOGGING["formatters"][fmt]
        formatter = config["()"](**{name: value for name, value in config.items() if name != "()"})
        out = io.StringIO()
        handler = logging.StreamHandler(out)
        handler.setFormatter(formatter)
        logger = logging.getLogger("planted")
        monkeypatch.setattr(logger, "handlers", [handler])
        monkeypatch.setattr(logger, "propagate", False)
        log()
        return out.getvalue()

    return write


def fail() -> None:
    raise RuntimeError("cannot connect to postgres://exchange:planted@db/x, password=planted")


def test_a_structlog_event_with_its_traceback_is_redacted(line: Any) -> None:
    def log() -> None:
        try:
            fail()
        except RuntimeError as error:
            structlog.get_logger("planted").exception(
                "failed", error=str(error), headers={"Cookie": "planted"}, api_key="planted"
            )

    text = line(log)
    assert "planted" not in text.replace("[planted", "")
    assert "RuntimeError: cannot connect to postgres://exchange:***@db/x" in text


def test_the_public_id_of_a_key_stays_in_its_audit_lines(line: Any) -> None:
    """Without it nobody could say which key was made or revoked."""
    made = "ek_0123456789abcdef01234567"
    for event in ("api_key_created", "api_key_revoked", "api_key_unsealable"):
        text = line(
            lambda event=event: structlog.get_logger("planted").info(event, key_id=made, actor_id=1)
        )
        assert event in text
        assert made in text


def test_a_record_of_a_library_is_redacted(line: Any) -> None:
    def log() -> None:
        logging.getLogger("planted").error(
            "asked %s with %s", "redis://:s3cret@h", {"password": "s3cret"}
        )

    text = line(log)
    assert "asked redis://:***@h" in text
    assert "s3cret" not in text


def test_json_lines_stay_json(line: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    processors = [
        LOGGING["formatters"]["structured"]["processors"][0],
        redactor.processor,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    monkeypatch.setitem(LOGGING["formatters"]["structured"], "processors", processors)

    def log() -> None:
        try:
            fail()
        except RuntimeError:
            body = json.dumps({"password": 'pla"nted'})
            structlog.get_logger("planted").exception("failed", body=body, cookie="pla;nted")

    found = json.loads(line(log))
    assert json.loads(found["body"]) == {"password": "***"}
    assert found["cookie"] == "***"
    assert "planted@" not in found["exception"]
    assert "password=***" in found["exception"]


def test_the_filter_leaves_nothing_for_a_handler_to_find() -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(RedactingFilter())
    try:
        fail()
    except RuntimeError:
        record = logging.LogRecord("x", 40, "", 1, "at %s", ("a://b:planted@c",), sys.exc_info())
    handler.handle(record)
    assert "at a://b:***@c" in out.getvalue()
    assert "RuntimeError" in out.getvalue()
    assert "planted" not in out.getvalue()
