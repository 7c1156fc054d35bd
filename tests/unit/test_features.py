"""docs/features.md names tests that exist, and every operation of the API."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.api import openapi

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENT = (PROJECT / "docs" / "features.md").read_text()
ROWS = re.findall(r"^\| (?!feature|-)(.+?) \| (.+?) \| (.+?) \|$", DOCUMENT, re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


@cache
def functions_of(path: str) -> set[str]:
    tree = ast.parse((PROJECT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("feature", "where", "proof"), ROWS)
def test_every_feature_has_a_test_that_exists(feature: str, where: str, proof: str) -> None:
    named = TEST.findall(proof)
    assert named, feature
    assert len(named) == len(proof.split(", ")), "each as `file::test`"
    assert where.startswith("`")
    for path, name in named:
        assert name in functions_of(path), f"{path} has no {name}"


def test_every_operation_is_a_feature() -> None:
    operations = {
        f"{method.upper()} {path}"
        for path, operations in openapi()["paths"].items()
        for method in operations
    }
    named = re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`]*)`", DOCUMENT)
    assert set(named) == operations
    assert len(named) == len(operations), "each once"


def test_no_feature_is_there_twice() -> None:
    features = [feature for feature, _, _ in ROWS]
    assert len(features) > 50
    assert len(set(features)) == len(features)
