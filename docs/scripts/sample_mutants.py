"""Mutation sample: share of small faults in the code that the tests notice.

The first call records which tests call which functions, and their seconds. Every mutant of a seeded sample is then
written into a copy of the repository, and the tests of its function run there, the fastest first, until one fails.
Results are kept in the folder, so that a later call continues, also with other tests (`--again`).

    python docs/scripts/sample_mutants.py FOLDER --count 200

Own code, since mutmut needs the whole suite in one process, cosmic-ray runs all tests for each mutant, and neither
draws a sample.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from call_tracer import FOLDER, traced

ROOT = Path(__file__).parents[2]
PACKAGES = ("training", "evaluation", "data", "config", "runs")
#: Folders of the tests that are recorded.
TESTS = (*PACKAGES, "components", "diagnostics", "builtin/datasets", "report")
#: Equivalent mutants: identity → reason.
EQUIVALENT = ROOT / "docs/scripts/equivalent_mutants.json"
COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}


@dataclass(frozen=True)
class Mutant:
    """One small fault.

    Attributes:
        path: File, relative to the repository.
        function: File and qualified name of the function, or of the class if `at_import`.
        at_import: Whether the code runs when the file is imported.
        line: First line of the code that is replaced.
        start: First byte of the code in the file.
        end: Byte after it.
        code: Code that replaces it.
        identity: Function, original code and replacement, without the line, so that it outlives other changes.
    """

    path: str
    function: str
    at_import: bool
    line: int
    start: int
    end: int
    code: str
    identity: str

    def applied(self, source: bytes) -> bytes:
        """Return the file's content with the fault."""
        return source[: self.start] + self.code.encode() + source[self.end :]


class Finder(ast.NodeVisitor):
    """Finder of the mutants of a file: replacements of single expressions and of simple statements.

    Annotations, decorators, assertions, texts and messages are left out.
    """

    def __init__(self, path: str, source: bytes) -> None:
        self.path, self.source = path, source
        self.offsets = [0]
        for line in source.splitlines(keepends=True):
            self.offsets.append(self.offsets[-1] + len(line))
        self.scope: list[str] = []
        self.functions = 0
        self.mutants: list[Mutant] = []
        self.counts: Counter[str] = Counter()
        self.visit(ast.parse(source))

    def add(self, node: ast.expr | ast.stmt, replacement: ast.expr | None) -> None:
        """Add the mutant that replaces a node; None drops a statement."""
        start = self.offsets[node.lineno - 1] + node.col_offset
        end = self.offsets[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)  # never None after `parse`
        code = "pass" if replacement is None else ast.unparse(ast.fix_missing_locations(replacement))
        if isinstance(node, ast.expr):
            code = f"({code})"
        function = f"{self.path} {'.'.join(self.scope)}"
        identity = f"{function}: {ast.unparse(node)} -> {code}"
        self.counts[identity] += 1
        if self.counts[identity] > 1:
            identity += f" #{self.counts[identity]}"
        self.mutants.append(Mutant(self.path, function, not self.functions, node.lineno, start, end, code, identity))

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.ClassDef) -> None:
        """Visit defaults and statements of a function or a class."""
        self.scope.append(node.name)
        self.functions += isinstance(node, ast.FunctionDef)
        if isinstance(node, ast.FunctionDef):
            for default in [*node.args.defaults, *node.args.kw_defaults]:
                if default is not None:
                    self.visit(default)
        for statement in node.body:
            self.visit(statement)
        self.functions -= isinstance(node, ast.FunctionDef)
        self.scope.pop()

    visit_ClassDef = visit_FunctionDef  # noqa: N815

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Visit the value alone, unless it is a type."""
        if node.value is not None and not (isinstance(node.annotation, ast.Name) and node.annotation.id == "TypeAlias"):
            self.visit(node.value)

    def visit_Assert(self, node: ast.Assert) -> None:
        """Skip assertions."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Skip texts."""

    def visit_If(self, node: ast.If | ast.While | ast.IfExp) -> None:
        """Negate a condition."""
        if ast.unparse(node.test) != "TYPE_CHECKING":
            if not isinstance(node.test, ast.Compare | ast.UnaryOp):  # whose own mutants are the same
                self.add(node.test, ast.UnaryOp(ast.Not(), node.test))
            self.generic_visit(node)

    visit_While = visit_IfExp = visit_If  # noqa: N815

    def visit_Compare(self, node: ast.Compare) -> None:
        """Flip each comparison."""
        for number, operator in enumerate(node.ops):
            flipped = [*node.ops[:number], COMPARISONS[type(operator)](), *node.ops[number + 1 :]]
            self.add(node, ast.Compare(node.left, flipped, node.comparators))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """Exchange `and` and `or`."""
        self.add(node, ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """Remove `not`."""
        if isinstance(node.op, ast.Not):
            self.add(node, node.operand)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Exchange + and -, * and /."""
        if type(node.op) in ARITHMETIC:
            self.add(node, ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Change a number by one, or a flag."""
        if isinstance(node.value, bool):
            self.add(node, ast.Constant(not node.value))
        elif isinstance(node.value, int | float):
            self.add(node, ast.Constant(node.value + (1 if node.lineno % 2 else -1)))

    def visit_Call(self, node: ast.Call) -> None:
        """Swap the first two arguments, unless their order does not matter."""
        swaps = len(node.args) > 1 and ast.unparse(node.func) not in {"min", "max", "suppress"}
        if swaps and not any(isinstance(argument, ast.Starred) for argument in node.args[:2]):
            self.add(node, ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], node.keywords))
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        """Return None."""
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self.add(node.value, ast.Constant(None))
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        """Drop a call."""
        if isinstance(node.value, ast.Call):
            self.add(node, None)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign | ast.AugAssign) -> None:
        """Drop an assignment that changes something other than a new name."""
        if isinstance(node, ast.AugAssign) or not isinstance(node.targets[0], ast.Name):
            self.add(node, None)
        self.generic_visit(node)

    visit_AugAssign = visit_Assign  # noqa: N815

    def visit_Raise(self, node: ast.Raise) -> None:
        """Drop an error."""
        self.add(node, None)


def sample(seed: int, count: int) -> list[Mutant]:
    """Return mutants in the order of a hash, so that changes elsewhere leave the sample nearly the same."""
    mutants: list[Mutant] = []
    for package in PACKAGES:
        for file in sorted((ROOT / "ganforge" / package).rglob("*.py")):
            mutants += Finder(str(file.relative_to(ROOT)), file.read_bytes()).mutants
    print(f"{len(mutants):,} mutants in all")
    return sorted(mutants, key=lambda mutant: hashlib.sha256(f"{seed} {mutant.identity}".encode()).digest())[:count]


class Recorder:
    """pytest's plugin that notes the seconds of each test, and the functions that it calls.

    A test gets the calls of all fixtures of its file, since the first test pays for those that several share.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()
        self.calls: dict[str, set[str]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        """Trace the fixtures of a test."""
        with traced(item.config.rootpath, self.calls.setdefault(item.nodeid.partition("::")[0], set())):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Trace a test."""
        with traced(item.config.rootpath, self.calls.setdefault(item.nodeid, set())):
            return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the duration, and tests that do not pass, which can notice nothing."""
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if not report.passed:
            self.failed.add(report.nodeid)

    def read_processes(self, folder: Path) -> None:
        """Read the calls of processes that tests have started, and remove their files."""
        for file in folder.iterdir():
            label, _, calls = file.read_text(encoding="utf-8").partition("\n")
            test, _, stage = label.rpartition(" (")
            owner = test if stage == "call)" else test.partition("::")[0]
            self.calls.setdefault(owner, set()).update(calls.split("\n"))
            file.unlink()

    def tests(self) -> dict[str, dict[str, Any]]:
        """Return seconds and calls of each test that has passed."""
        none = set[str]()
        return {
            test: {
                "seconds": round(seconds, 2),
                "calls": sorted(self.calls.get(test, none) | self.calls.get(test.partition("::")[0], none)),
            }
            for test, seconds in self.seconds.items()
            if test not in self.failed
        }


def record(folder: Path, name: str) -> None:
    """Run the tests of a folder in the copy, and write their seconds and the functions that they call."""
    processes = folder / "calls"
    processes.mkdir(exist_ok=True)
    os.environ[FOLDER] = str(processes)
    recorder = Recorder()
    with suppress(Exception):  # such as a warning of a test that failed, at the end of pytest
        pytest.main(["-n", "0", "-q", "-p", "no:cacheprovider", f"tests/{name}"], plugins=[recorder])
    recorder.read_processes(processes)
    recording(folder, name).write_text(json.dumps(recorder.tests(), indent=1), encoding="utf-8")


def recording(folder: Path, name: str) -> Path:
    """Return the file with the recorded tests of a folder."""
    return folder / f"{name.replace('/', '-')}.json"


class Recorded:
    """Recorded tests: their seconds, and the functions that they call, as `PATH QUALIFIED_NAME`."""

    def __init__(self, folder: Path, max_seconds: float) -> None:
        self.max_seconds = max_seconds
        self.seconds: dict[str, float] = {}
        self.tests_of: dict[str, set[str]] = {}
        for name in TESTS:
            for test, values in json.loads(recording(folder, name).read_text(encoding="utf-8")).items():
                self.seconds[test] = values["seconds"]
                for function in values["calls"]:
                    self.tests_of.setdefault(function, set()).add(test)
                    self.tests_of.setdefault(function.partition(" ")[0], set()).add(test)

    def tests(self, mutant: Mutant) -> list[str]:
        """Return the tests that call a mutant's function, or any of its file if it is in none; the fastest first."""
        names = self.tests_of.get(mutant.path if mutant.at_import else mutant.function, set())
        if not names and mutant.at_import:
            names = {test for test in self.seconds if test.startswith(f"tests/{mutant.path.split('/')[1]}/")}
        chosen: list[str] = []
        total = 0.0
        for name in sorted(names, key=lambda name: self.seconds[name]):
            total += self.seconds[name]
            if total < self.max_seconds or not chosen:
                chosen.append(name)
        return chosen


def run_tests(copy: Path, tests: list[str], log: Path) -> None:
    """Run tests in the copy until one fails, and exit with pytest's code."""
    os.setsid()
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.exit(pytest.main(["-x", "-n", "0", "-q", "--tb=short", "-p", "no:cacheprovider", *tests]))


def outcome(copy: Path, mutant: Mutant, recorded: Recorded, log: Path) -> dict[str, Any]:
    """Return what the tests make of a mutant: killed, timeout, survived, or uncovered."""
    tests = recorded.tests(mutant)
    begun = time.perf_counter()
    if not tests:
        return {"result": "uncovered", "tests": 0}
    file = copy / mutant.path
    original = file.read_bytes()
    file.write_bytes(mutant.applied(original))
    try:
        process = multiprocessing.get_context("fork").Process(target=run_tests, args=(copy, tests, log))
        process.start()
        process.join(60 + 3 * sum(recorded.seconds[test] for test in tests))
        if process.is_alive():
            os.killpg(process.pid or 0, 9)
            process.join()
            result = "timeout"
        else:
            if "ERROR: not found" in log.read_text():
                raise SystemExit(f"recorded tests are no longer there: remove {copy.parent}/*.json of their folders")
            result = "killed" if process.exitcode else "survived"
    finally:
        file.write_bytes(original)
    return {"result": result, "tests": len(tests), "seconds": round(time.perf_counter() - begun, 1)}


def copy_repository(copy: Path) -> None:
    """Copy the repository's files, with bytecode that is compared with its source's hash rather than its time."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in files.split("\0")[:-1]:
        source, target = ROOT / name, copy / name
        if source.is_file() and not (target.is_file() and target.read_bytes() == source.read_bytes()):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    compiled = (sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", copy / "ganforge")
    subprocess.run(compiled, check=True)
    shutil.copy2(ROOT / "docs/scripts/call_tracer.py", copy / "sitecustomize.py")


def main() -> None:
    """Record, test the mutants that have no result yet, and print the counts and the survivors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the copy, the recorded calls and the results")
    parser.add_argument("--count", type=int, default=200, help="number of mutants")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    parser.add_argument("--seconds", type=float, default=300, help="maximum of a mutant's tests, as recorded")
    parser.add_argument("--again", action="store_true", help="test the survivors again")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this time")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    copy, results = folder / "repository", folder / "results.json"
    copy_repository(copy)
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    os.environ |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    fork = multiprocessing.get_context("fork")
    for name in TESTS:
        if not recording(folder, name).exists():
            process = fork.Process(target=record, args=(folder, name))
            process.start()
            process.join()
    import torch  # noqa: F401, PLC0415 - once rather than in each process

    mutants, recorded = sample(arguments.seed, arguments.count), Recorded(folder, arguments.seconds)
    known = json.loads(results.read_text(encoding="utf-8")) if results.exists() else {}
    equivalent = json.loads(EQUIVALENT.read_text(encoding="utf-8")) if EQUIVALENT.exists() else {}
    end = time.monotonic() + 60 * arguments.minutes
    for number, mutant in enumerate(mutants):
        survived = arguments.again and known.get(mutant.identity, {}).get("result") in {"survived", "uncovered"}
        if (survived or mutant.identity not in known) and mutant.identity not in equivalent and time.monotonic() < end:
            known[mutant.identity] = outcome(copy, mutant, recorded, folder / "log.txt")
            print(f"{number + 1} {mutant.line} {mutant.identity}: {known[mutant.identity]}", flush=True)
            results.write_text(json.dumps(known, indent=1), encoding="utf-8")
    report(mutants, known, equivalent)


def report(mutants: Iterable[Mutant], known: dict[str, Any], equivalent: dict[str, str]) -> None:
    """Print the counts and the survivors."""
    results = {
        m: "equivalent" if m.identity in equivalent else known.get(m.identity, {}).get("result") for m in mutants
    }
    for mutant, result in results.items():
        if result in {"survived", "uncovered"}:
            print(f"{result}: {mutant.path}:{mutant.line}: {mutant.identity}")
    print(dict(Counter(results.values())))


if __name__ == "__main__":
    main()
