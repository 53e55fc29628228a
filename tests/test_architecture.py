"""The house rules that a reader would otherwise have to trust: who imports whom, where a library may be seen, sizes."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: A module imports from its own line and those above it, never from below. In the API each name is a line of its own.
LAYERS = [
    "errors clock settings sizes",
    "job settlement retry outcome isolate checks options failure scaling",
    "signals codec ids locations around shield",
    "brokers",
    *[
        "watch",
        "carrier",
        "awaiting client",
        "info workers",
        "control",
        "handle",
        "task",
        "registry",
        "queues",
        "submission",
        "desk",
        "run",
    ],
    *["current", "app", "measuring"],
    "worker",
    "testing",
    "cli __main__",
]
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names.split()}

#: (importer, imported, how) → why it may import from below, inside a function, or by name.
EXCEPTIONS = {
    ("taskforge.app", "taskforge.worker", "for types"): "app.worker() returns one, and a checker must know its type",
    ("taskforge.app", "taskforge.worker", "by name"): "a program that only enqueues never loads the worker",
    ("taskforge.brokers.resend", "taskforge.brokers.knocking", "by name"): "only who meets silence loads tenacity",
    ("taskforge.client", "taskforge.awaiting", "for types"): "client.awaiting is one, and a checker must know its type",
    ("taskforge.client", "taskforge.awaiting", "by name"): "a program without coroutines never loads asyncio",
    ("taskforge.worker.parent.reloading", "watchfiles", "by name"): "an extra, which only development installs",
}

#: Where a library, or a part of the standard one, may be imported; everywhere else it is a leak.
HOMES = {
    "redis": ("taskforge.brokers.redis",),
    "hiredis": ("taskforge.brokers.redis",),
    "sqlite3": ("taskforge.brokers.sqlite",),
    "click": ("taskforge.cli",),
    "blinker": ("taskforge.signals",),
    # Sending a stamped call again, and looking whether the broker is back: never anything inside a broker.
    "tenacity": ("taskforge.brokers.knocking",),
    "msgpack": ("taskforge.codec", "taskforge.brokers.redis"),
    "uvloop": ("taskforge.worker.loops",),
    "watchfiles": ("taskforge.worker.parent.reloading",),
    "greenlet": ("taskforge.testing",),
    "pytest": ("taskforge.testing",),
    "hypothesis": ("taskforge.testing",),
}

#: Promise 8: nothing is pickled. Each of these is, or hides, pickle.
PICKLES = {"pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle"}

MODULE_LINES, FUNCTION_LINES = 300, 60
#: Module, or module and function → why it may be longer.
LARGE = {
    "taskforge.app": "the composition root; half of it is docstrings and overloads",
}
#: Module and function → why its signature may say Any.
UNTYPED = {
    "taskforge.codec.classes:take_apart": "an instance of a user's class, whose attributes no checker knows",
    "taskforge.codec.classes:put_together": "a class of a user's, whose parameters no checker knows",
}


@dataclass(frozen=True)
class Import:
    """One import. `how`: "" at the head of the module, else in a function, for types, or by name."""

    importer: str
    imported: str
    line: int
    how: str

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported} {self.how}".rstrip()


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    paths = sorted((ROOT / "taskforge").rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return dict(zip(names, paths, strict=True))


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text())


@cache
def imports() -> tuple[Import, ...]:
    return tuple(found for module in modules() for found in _imports(module, tree(module), ""))


def _imports(module: str, node: ast.AST, how: str) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import(names=names):
                yield from (Import(module, each.name, child.lineno, how) for each in names)
            case ast.ImportFrom(module=str(source), names=names, level=0):
                for each in names:
                    whole = f"{source}.{each.name}"
                    yield Import(module, whole if whole in modules() else source, child.lineno, how)
            case ast.ImportFrom():
                pytest.fail(f"{module}:{child.lineno} is a relative import")
            case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(name))]):
                yield Import(module, name, child.lineno, "by name")
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                yield from _imports(module, child, "for types")
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from _imports(module, child, "in a function")
            case _:
                yield from _imports(module, child, how)


def rank(module: str) -> int:
    """A module's place in the layers. The package itself, which only gathers names, is beyond them all."""
    parts = module.split(".")
    return RANKS[parts[1]] if len(parts) > 1 else len(LAYERS)


def own(found: Import) -> bool:
    return found.imported.partition(".")[0] == "taskforge"


def within(module: str, home: str) -> bool:
    return module == home or module.startswith(f"{home}.")


def refused(found: Import) -> bool:
    """Whether no exception is listed for it."""
    return (found.importer, found.imported, found.how) not in EXCEPTIONS


def test_every_module_has_a_place_in_the_layers() -> None:
    assert {module.split(".")[1] for module in modules() if "." in module} <= set(RANKS)


def test_nothing_imports_from_below() -> None:
    below = [each for each in imports() if own(each) and rank(each.imported) > rank(each.importer)]

    assert not [str(each) for each in below if refused(each)]


def test_no_import_hides_in_a_function() -> None:
    hidden = [each for each in imports() if each.how in ("in a function", "by name") and refused(each)]

    # Commands load what they need when they run, so that `taskforge --help` is quick.
    assert not [str(each) for each in hidden if not within(each.importer, "taskforge.cli")]


def test_no_module_imports_itself_by_a_detour() -> None:
    sorter: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
    for each in imports():
        if own(each) and not each.how:
            sorter.add(each.importer, each.imported)

    sorter.prepare()  # raises CycleError, which names the cycle


def test_only_the_broker_folder_knows_a_concrete_broker() -> None:
    leaks = [
        str(each)
        for broker in ("taskforge.brokers.redis", "taskforge.brokers.sqlite")
        for each in imports()
        if within(each.imported, broker) and not within(each.importer, broker)
    ]

    assert not leaks


def test_nothing_outside_testing_imports_testing() -> None:
    testing = [each for each in imports() if within(each.imported, "taskforge.testing")]

    assert not [str(each) for each in testing if not within(each.importer, "taskforge.testing")]


def test_every_library_stays_in_its_home() -> None:
    strangers = []
    for each in imports():
        top = each.imported.partition(".")[0]
        homes = HOMES.get(top, () if top not in sys.stdlib_module_names | {"taskforge"} else ("taskforge",))
        if not any(within(each.importer, home) for home in homes):
            strangers.append(str(each))

    assert not strangers


def test_nothing_is_pickled() -> None:
    assert not [str(each) for each in imports() if each.imported.partition(".")[0] in PICKLES]


def test_every_exception_is_still_needed() -> None:
    assert set(EXCEPTIONS) <= {(each.importer, each.imported, each.how) for each in imports()}
    assert set(LARGE) <= set(_too_large())
    assert set(UNTYPED) <= set(_saying_any())


def test_importing_taskforge_loads_no_library_it_may_not_need() -> None:
    unwanted = [
        "asyncio",
        "tenacity",
        "redis",
        "click",
        "croniter",
        "sqlite3",
        "pickle",
        "taskforge.worker",
        "taskforge.testing",
    ]
    program = f"import sys, taskforge; print(*[name for name in {unwanted} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_every_module_opens_with_one_line_that_says_what_it_owns() -> None:
    heads = {module: (ast.get_docstring(tree(module)) or "").split("\n")[:2] for module in modules()}

    assert not {module: head for module, head in heads.items() if not head[0] or head[1:] not in ([], [""])}


def test_no_public_signature_says_any() -> None:
    assert not [each for each in _saying_any() if each not in UNTYPED]


def test_no_module_or_function_runs_away() -> None:
    assert not {name: lines for name, lines in _too_large().items() if name not in LARGE}


def functions(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (each for each in ast.walk(node) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))


def _saying_any() -> list[str]:
    """Every public function with Any in its signature."""
    return [
        f"{module}:{function.name}"
        for module in modules()
        for function in functions(tree(module))
        if not function.name.startswith("_") or function.name.startswith("__")
        for part in [*ast.walk(function.args), *(ast.walk(function.returns) if function.returns else ())]
        if isinstance(part, ast.Name) and part.id == "Any"
    ]


def _too_large() -> dict[str, int]:
    """Lines of every module and function over its limit."""
    sizes = {name: len(path.read_text().splitlines()) for name, path in modules().items()}
    found = {name: lines for name, lines in sizes.items() if lines > MODULE_LINES}
    for module in modules():
        for function in functions(tree(module)):
            lines = (function.end_lineno or 0) - function.lineno + 1
            if lines > FUNCTION_LINES:
                found[f"{module}:{function.name}"] = lines
    return found
