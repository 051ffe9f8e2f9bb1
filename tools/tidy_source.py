"""What tidy reads: a file's text and syntax tree, and the dotted names that its imports stand for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

TREES = ("src", "tests", "tools", "examples", "scenarios")
SKIPPED_FOLDERS = {"__pycache__", "build", "node_modules"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is not tidy."""

    path: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.rule} {self.message}"


@dataclass(frozen=True)
class Source:
    """One Python file; `path` is relative to the repository, with slashes."""

    path: str
    text: str
    tree: ast.Module = field(repr=False)

    @property
    def module(self) -> str:
        """The dotted name of a file below `src/`; of any other file its path with dots."""
        name = self.path.removeprefix("src/").removesuffix(".py").replace("/", ".")
        return name.removesuffix(".__init__")

    @property
    def is_init(self) -> bool:
        """Whether the file is a package's `__init__.py`."""
        return self.path.rsplit("/", 1)[-1] == "__init__.py"

    @property
    def is_product(self) -> bool:
        """Whether the file ships in the wheel."""
        return self.path.startswith("src/comity/")

    @property
    def layer(self) -> str:
        """The top-level folder of `src/comity` that holds the file, or an empty string."""
        parts = self.path.split("/")
        return parts[2] if self.is_product and len(parts) > 3 else ""

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the tree."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def aliases(self) -> dict[str, str]:
        """For each imported name, the dotted name that it stands for."""
        found: dict[str, str] = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    bound = alias.asname or alias.name.split(".")[0]
                    found[bound] = alias.name if alias.asname else bound
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
        return found

    def imports(self) -> Iterator[tuple[int, str]]:
        """Every import as (line, dotted name); `from a import b` gives `a.b`."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)

    def references(self) -> Iterator[tuple[ast.expr, str]]:
        """Every use of an imported name, as (node, dotted name)."""
        for node in self.nodes:
            if isinstance(node, ast.Name | ast.Attribute):
                dotted = self.dotted(node)
                if dotted:
                    yield node, dotted

    def dotted(self, node: ast.AST) -> str:
        """The dotted name that an expression stands for, or an empty string where it is not an imported one."""
        if isinstance(node, ast.Name):
            return self.aliases.get(node.id, "")
        if isinstance(node, ast.Attribute):
            base = self.dotted(node.value)
            return f"{base}.{node.attr}" if base else ""
        return ""


def parse(path: str, text: str) -> Source:
    """Make a source of a file's text.

    Raises:
        SyntaxError: The text is no Python; `load` makes a finding of it.
    """
    return Source(path, text, ast.parse(text, path))


def load(root: Path) -> tuple[list[Source], list[Finding]]:
    """Read every Python file below `root`'s trees, and give findings for those that are not readable as Python."""
    sources: list[Source] = []
    findings: list[Finding] = []
    for file in sorted(file for tree in TREES for file in (root / tree).rglob("*.py")):
        relative = file.relative_to(root)
        if SKIPPED_FOLDERS.intersection(relative.parts) or any(part.startswith(".") for part in relative.parts):
            continue
        try:
            sources.append(parse(relative.as_posix(), file.read_text(encoding="utf-8")))
        except SyntaxError as error:
            findings.append(Finding(relative.as_posix(), error.lineno or 1, "syntax", f"{error.msg}"))
    return sources, findings


def functions(source: Source) -> Iterator[tuple[Function, bool]]:
    """Every function of a file, nested ones too, with whether it is a method that takes `self` or `cls`."""
    for node in source.nodes:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                is_static = any(
                    isinstance(item, ast.Name) and item.id == "staticmethod" for item in child.decorator_list
                )
                yield child, isinstance(node, ast.ClassDef) and not is_static


def without_type_checking(nodes: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Every statement below `nodes` that runs, which those in `if TYPE_CHECKING:` do not."""
    for node in nodes:
        yield node
        if isinstance(node, ast.If) and is_type_checking(node.test):
            yield from without_type_checking(node.orelse)
            continue
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                yield from without_type_checking([child])
            elif isinstance(child, ast.ExceptHandler | ast.match_case):
                yield from without_type_checking(child.body)


def is_type_checking(test: ast.expr) -> bool:
    """Whether a condition is `TYPE_CHECKING`."""
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )
