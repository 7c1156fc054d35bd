"""Promise 6: the engine has no clock, no randomness, no I/O, no Django and no floats."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "matching" / "engine"
MODULES = sorted(PACKAGE.rglob("*.py"))
ALLOWED_IMPORTS = {"collections", "collections.abc", "hashlib", "heapq", "typing"}
IMPURE_BUILTINS = {"open", "input", "print", "float", "hash", "id", "eval", "exec", "__import__"}


def test_there_is_something_to_look_at() -> None:
    assert {"__init__.py", "book.py", "engine.py"} <= {path.name for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_imports_only_what_is_pure(path: Path) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they point"
            imported.add(node.module or "")

    outside = {name for name in imported if not name.startswith("matching.engine.")}

    assert outside <= ALLOWED_IMPORTS


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_has_no_float_and_calls_nothing_impure(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Constant):
            assert not isinstance(node.value, float), f"{where}: a float"
        elif isinstance(node, ast.BinOp | ast.AugAssign):
            assert not isinstance(node.op, ast.Div), f"{where}: true division makes a float"
        elif isinstance(node, ast.Name):
            assert node.id not in IMPURE_BUILTINS, f"{where}: {node.id}"


def test_importing_the_engine_imports_nothing_else_of_the_project() -> None:
    code = (
        "import sys, matching.engine\n"
        "roots = {name.partition('.')[0] for name in sys.modules}\n"
        "foreign = roots - set(sys.stdlib_module_names) - {'matching', '__main__'}\n"
        "print(sorted(n for n in foreign if n in "
        "('django', 'msgspec', 'kafka', 'celery', 'redis', 'exchange', 'orders', 'balances')))\n"
        "print(sorted(n for n in sys.modules if n.startswith('matching.') "
        "and not n.startswith('matching.engine')))\n"
    )

    output = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PACKAGE.parents[1],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout

    assert output.split() == ["[]", "[]"]
