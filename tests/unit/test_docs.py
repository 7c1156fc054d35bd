"""What the documents name exists: links, commands, files, addresses, dependencies, log events."""

import ast
import json
import re
import shlex
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from django.core.management import get_commands
from django.urls import resolve

from balances.transfers_api import TransferInput
from exchange.stack.processes import WEB_PORTS
from orders.api import OrderInput

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *(PROJECT / name for name in ("README.md", "CHANGELOG.md")),
    *sorted((PROJECT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
REQUIREMENT = re.compile(r"^([A-Za-z0-9_-]+(?:\[\w+\])?)$", re.MULTILINE)
APPS = ("exchange", "orders", "balances", "matching")
FOLDERS = (*APPS, "tests", "benchmarks", "docs", "requirements")
LOUD = ("warning", "error", "critical", "exception")


def names(path: Path) -> str:
    return str(path.relative_to(PROJECT))


every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=names)


def code_in(document: Path) -> Iterator[str]:
    """Yield every piece of code: fenced blocks, and what stands in backticks."""
    text = document.read_text()
    yield from (block for _, block in FENCE.findall(text))
    yield from INLINE.findall(FENCE.sub("", text))


def anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a document."""
    headings = HEADING.findall(FENCE.sub("", document.read_text()))
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


class Call(NamedTuple):
    """A curl command, taken apart."""

    method: str
    url: str
    body: str | None


def curl_calls(text: str) -> list[Call]:
    """Return the curl commands in the fenced blocks of `text`.

    Raises:
        ValueError: an option that is not known here.
    """
    calls = []
    for language, block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip().startswith("curl"):
                assert language == "bash", line
                calls.append(_parse_curl(shlex.split(line, comments=True)[1:]))
    return calls


def _parse_curl(arguments: list[str]) -> Call:
    method, url, body = None, None, None
    remaining = iter(arguments)
    for argument in remaining:
        if argument in {"-X", "--request"}:
            method = next(remaining)
        elif argument in {"-d", "--data"}:
            body = next(remaining)
        elif argument in {"-H", "--header"}:
            assert re.fullmatch(r"[A-Za-z-]+: .+", next(remaining))
        elif argument.startswith("-"):
            assert argument in {"-s", "-i", "-si"}, argument
        else:
            assert url is None, arguments
            url = argument
    assert url is not None, arguments
    return Call(method or ("GET" if body is None else "POST"), url, body)


@every_document
def test_links_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(FENCE.sub("", document.read_text())):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (document.parent / path).resolve() if path else document
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target


@every_document
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    for code in code_in(document):
        named = re.findall(r"(?:^|[\s;&])make ([a-z][a-z-]*)", code)
        assert set(named) <= targets, code


@every_document
def test_management_commands_exist(document: Path) -> None:
    commands = get_commands().keys()
    for code in code_in(document):
        named = re.findall(r"manage\.py ([a-z_]+)", code)
        assert set(named) <= commands, code


@every_document
def test_paths_exist(document: Path) -> None:
    for code in code_in(document):
        for path in re.findall(rf"(?<![\w/.])(?:{'|'.join(FOLDERS)})/[\w./-]*", code):
            assert (PROJECT / path.rstrip(".")).exists(), path


@every_document
def test_python_names_stand_in_the_module_named_with_them(document: Path) -> None:
    text = FENCE.sub("", document.read_text())
    for path, name in re.findall(r"`(\w[\w/]*\.py)`,? `([A-Za-z_.]+)`", text):
        source = (PROJECT / path).read_text()
        assert re.search(rf"\b{re.escape(name.split('.')[-1])}\b", source), f"{path}: {name}"


def test_every_make_target_is_in_the_readme() -> None:
    listed = re.findall(r"^([a-z-]+):.*##", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    readme = (PROJECT / "README.md").read_text()

    assert [
        target for target in listed if target != "help" and f"make {target}`" not in readme
    ] == []


def test_every_command_of_ours_is_in_the_readme() -> None:
    readme = (PROJECT / "README.md").read_text()
    own = {command for command, app in get_commands().items() if app in APPS}

    assert {command for command in own if f"`manage.py {command}" not in readme} == set()


BODIES = {"/orders": OrderInput, "/transfers": TransferInput}


def test_curl_commands_of_the_readme_are_requests_that_the_services_know() -> None:
    calls = curl_calls((PROJECT / "README.md").read_text())
    services = {port: service for service, port in WEB_PORTS.items()}

    assert {"POST", "GET", "DELETE"} == {call.method for call in calls}
    for call in calls:
        address = urlsplit(call.url)
        assert address.hostname == "127.0.0.1"
        assert address.port is not None
        for urlconf in ("exchange.urls.all", f"exchange.urls.{services[address.port]}"):
            view = resolve(address.path, urlconf=urlconf).func
        assert hasattr(view.view_class, call.method.lower()), call  # type: ignore[attr-defined]
        if call.body is not None:
            body = json.loads(call.body, parse_float=Decimal)
            BODIES[address.path](data=body).is_valid(raise_exception=True)


def test_json_in_the_readme_is_json() -> None:
    blocks = [
        text for kind, text in FENCE.findall((PROJECT / "README.md").read_text()) if kind == "json"
    ]

    assert blocks
    for block in blocks:
        assert json.loads(block)["balances"]


def test_every_direct_requirement_has_a_reason_and_its_version() -> None:
    document = (PROJECT / "docs" / "dependencies.md").read_text()
    pinned = dict(
        re.findall(
            r"^([\w.-]+)==(.+)$", (PROJECT / "requirements/constraints.txt").read_text(), re.M
        )
    )
    rows = dict(re.findall(r"^\| (\S+) \| (\S+) \| \S", document, re.M))
    direct = {
        name
        for group in ("base", "embedded", "bench", "dev")
        for name in REQUIREMENT.findall((PROJECT / "requirements" / f"{group}.txt").read_text())
    }

    assert rows.keys() - {"package"} == direct
    for name in direct:
        assert rows[name] == pinned[name.split("[")[0].lower()], name


def log_events() -> dict[str, str]:
    """Return each event that the code logs at warning or above, and its level."""
    found = {}
    for path in (path for app in APPS for path in (PROJECT / app).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "logger"
                and node.func.attr in LOUD
                and isinstance(node.args[0], ast.Constant)
            ):
                level = "error" if node.func.attr == "exception" else node.func.attr
                found[str(node.args[0].value)] = level
    return found


def test_every_loud_log_event_is_explained() -> None:
    document = (PROJECT / "docs" / "operations.md").read_text()
    explained = {
        event: level
        for events, level in re.findall(r"^\| (`[^|]+`) \| (\w+) \|", document, re.MULTILINE)
        for event in INLINE.findall(events)
        if level in LOUD
    }

    assert explained == log_events()


def test_every_setting_is_in_the_table() -> None:
    example = (PROJECT / ".env.example").read_text()
    document = (PROJECT / "docs" / "operations.md").read_text()
    table = document[document.index("## Settings") : document.index("## Health")]

    assert set(re.findall(r"^\| `([A-Z_]+)` \|", table, re.MULTILINE)) == set(
        re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE)
    )


def test_decisions_are_numbered_without_a_gap_and_have_their_parts() -> None:
    decisions = sorted((PROJECT / "docs" / "decisions").glob("*.md"))

    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        text = path.read_text()
        assert text.startswith(f"# {path.name[:4]}: ")
        for part in ("Context", "Decision", "Why", "Consequences", "Alternatives"):
            assert re.search(rf"^## {part}", text, re.MULTILINE), f"{path.name}: {part}"
