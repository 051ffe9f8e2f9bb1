"""Rules on the shape of one file: lengths, parameters, names, docstrings, `__init__.py`, broad excepts."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tidy_source import Finding, Function, Source, functions, is_type_checking

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
PARAMETERS_MAX = 8
DOCSTRING_LINES_MAX = 12
EXPORTS_MAX = 30
VAGUE_NAMES = {"util", "utils", "common", "helper", "helpers", "manager", "managers"}
BROAD = {"Exception", "BaseException"}


def file_length(source: Source) -> Iterator[Finding]:
    """A file has at most 600 lines."""
    count = len(source.text.splitlines())
    if count > FILE_LINES_MAX:
        message = f"the file has {count} lines, the limit is {FILE_LINES_MAX}; give its second idea a file of its own"
        yield Finding(source.path, 1, "file-length", message)


def function_length(source: Source) -> Iterator[Finding]:
    """A function has at most 70 lines, from its `def` to its end, docstring and all."""
    for node, _ in functions(source):
        count = lines_of(node)
        if count > FUNCTION_LINES_MAX:
            message = f"`{node.name}` has {count} lines, the limit is {FUNCTION_LINES_MAX}"
            yield Finding(source.path, node.lineno, "function-length", message)


def parameters(source: Source) -> Iterator[Finding]:
    """A function has at most 8 parameters, not counting `self` and `cls`."""
    for node, takes_self in functions(source):
        arguments = node.args
        count = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs) - takes_self
        count += (arguments.vararg is not None) + (arguments.kwarg is not None)
        if count > PARAMETERS_MAX:
            message = f"`{node.name}` has {count} parameters, the limit is {PARAMETERS_MAX}; take an options struct"
            yield Finding(source.path, node.lineno, "parameters", message)


def vague_name(source: Source) -> Iterator[Finding]:
    """No file or folder is named for having no idea of its own (`utils`, `common`, `helpers`, `manager`)."""
    for part in source.path.removesuffix(".py").split("/"):
        if part.rsplit("_", 1)[-1] in VAGUE_NAMES:
            yield Finding(source.path, 1, "vague-name", f"`{part}` names no idea; say what is in it")


def docstring(source: Source) -> Iterator[Finding]:
    """A module's docstring says its one idea in at most 12 lines; an empty `__init__.py` needs none outside src."""
    text = ast.get_docstring(source.tree)
    if text is None:
        if source.is_product or source.tree.body:
            yield Finding(source.path, 1, "docstring", "the module has no docstring; say its one idea")
        return
    count = len(text.splitlines())
    if count > DOCSTRING_LINES_MAX:
        message = f"the module's docstring has {count} lines, the limit is {DOCSTRING_LINES_MAX}"
        yield Finding(source.path, 1, "docstring", message)


def init_only_exports(source: Source) -> Iterator[Finding]:
    """An `__init__.py` of the product only re-exports, with `__all__`; lazy names may come from `__getattr__`."""
    if not source.is_init or not source.is_product:
        return
    body = source.tree.body[1:] if ast.get_docstring(source.tree) is not None else source.tree.body
    for node in body:
        if not _may_stand_in_init(node, is_lazy=_has_getattr(body)):
            message = "an `__init__.py` only re-exports; this belongs in a module"
            yield Finding(source.path, node.lineno, "init-only-exports", message)
    exports_something = any(not _is_future(node) for node in body)
    if exports_something and exported(source) is None:
        message = "the `__init__.py` has no literal `__all__`; list what it exports"
        yield Finding(source.path, 1, "init-only-exports", message)


def exports(source: Source) -> Iterator[Finding]:
    """The product exports at most 30 names at its top level."""
    if source.module != "comity":
        return
    count = len(exported(source) or ())
    if count > EXPORTS_MAX:
        message = f"`comity` exports {count} names, the limit is {EXPORTS_MAX}; leave the rest in their packages"
        yield Finding(source.path, 1, "exports", message)


def broad_except(source: Source) -> Iterator[Finding]:
    """Nothing catches every error (`except Exception`, a bare `except`, `suppress(Exception)`) without re-raising."""
    for node in source.nodes:
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and not _raises(node.body):
            message = "a broad `except` without `raise`; name the errors that you can answer for"
            yield Finding(source.path, node.lineno, "broad-except", message)
        elif isinstance(node, ast.Call) and _suppresses_everything(source, node):
            message = "`suppress` of every error; name the errors that may be lost"
            yield Finding(source.path, node.lineno, "broad-except", message)


RULES = (
    file_length,
    function_length,
    parameters,
    vague_name,
    docstring,
    init_only_exports,
    exports,
    broad_except,
)


def lines_of(node: Function) -> int:
    """The lines of a function, from its `def` to its end."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def code_lines_of(node: Function) -> int:
    """The lines of a function without those of its docstring."""
    first = node.body[0]
    has_docstring = ast.get_docstring(node) is not None
    return lines_of(node) - (((first.end_lineno or first.lineno) - first.lineno + 1) if has_docstring else 0)


def exported(source: Source) -> list[str] | None:
    """The names in a module's `__all__`, or None where it has no literal one."""
    for node in source.tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if [target.id for target in targets if isinstance(target, ast.Name)] == ["__all__"]:
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            if isinstance(value, ast.List | ast.Tuple):
                names = [item.value for item in value.elts if isinstance(item, ast.Constant)]
                return [str(name) for name in names]
    return None


def _may_stand_in_init(node: ast.stmt, *, is_lazy: bool) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.If) and is_type_checking(node.test):
        return all(isinstance(child, ast.Import | ast.ImportFrom) for child in [*node.body, *node.orelse])
    if isinstance(node, ast.FunctionDef):
        return node.name in {"__getattr__", "__dir__"}
    names = _assigned_names(node)
    is_dunder = all(name.startswith("__") and name.endswith("__") for name in names)
    is_private = all(name.startswith("_") for name in names)
    return bool(names) and (is_dunder or (is_private and is_lazy))


def _assigned_names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Assign):
        return [target.id if isinstance(target, ast.Name) else "" for target in node.targets]
    if isinstance(node, ast.AnnAssign):
        return [node.target.id if isinstance(node.target, ast.Name) else ""]
    return []


def _has_getattr(body: list[ast.stmt]) -> bool:
    return any(isinstance(node, ast.FunctionDef) and node.name == "__getattr__" for node in body)


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _is_broad(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    if isinstance(caught, ast.Tuple):
        return any(_is_broad(item) for item in caught.elts)
    name = caught.id if isinstance(caught, ast.Name) else caught.attr if isinstance(caught, ast.Attribute) else ""
    return name in BROAD


def _suppresses_everything(source: Source, call: ast.Call) -> bool:
    return source.dotted(call.func) == "contextlib.suppress" and any(_is_broad(argument) for argument in call.args)


def _raises(body: list[ast.stmt]) -> bool:
    """Whether a `raise` stands in the statements themselves, not in a function that they define."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Raise):
            return True
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))
    return False
