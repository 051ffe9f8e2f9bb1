"""From nodes to values: what stands at each place must be of the type that the struct of that place says.

The type decides what a plain scalar means. Where text is wanted, it is text, letter by letter (`when: True`, `id: no`);
where a number is wanted, it must be one as JSON writes it; where anything may stand, what other readers of YAML would
take for a boolean, a date or an octal number is refused, with what to write.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
import yaml
from msgspec import inspect

from comity.coordination.loading_problem import Path, Problem, cut, nearest, shown
from comity.coordination.loading_yaml import YamlList, YamlMap, YamlNode, YamlScalar
from comity.core.expression import MAGNITUDE_MAX

NAME_CHARS_MAX: Final = 200
_NUMBER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)(?P<rest>(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?)")
_NUMBER_LIKE: Final = re.compile(
    r"[-+]?(?:[0-9][0-9_,]*(?:[.:][0-9_]*)*(?:[eE][-+]?[0-9]*)?|0[xob][0-9a-fA-F_]+|\.[0-9]+)"
)
_MINUTES: Final = re.compile(r"[0-9]+(:[0-9]{1,2})+")
_BOOLEANS: Final = {"true": True, "True": True, "false": False, "False": False}
_BOOLEAN_LIKE: Final = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_NULLS: Final = ("null", "~")
_RESOLVER: Final = yaml.SafeLoader.yaml_implicit_resolvers
_MISSING: Final = object()
"""Stands for a value that could not be read; a problem says why."""


class Shape:
    """Reads nodes by types; `problems` collects what does not fit, `lines` where each value stands."""

    def __init__(self) -> None:
        """Have read nothing."""
        self.problems: list[Problem] = []
        self.lines: dict[Path, int] = {}

    def read(self, node: YamlNode, kind: inspect.Type, path: Path = ()) -> Any:
        """Return the value of a node, with what does not fit left out."""
        self.lines.setdefault(path, node.line)
        if isinstance(kind, inspect.UnionType):
            return self._union(node, kind, path)
        if isinstance(kind, inspect.AnyType):
            return self._anything(node, path)
        if isinstance(kind, inspect.StructType):
            return self._struct(node, kind, path)
        if isinstance(kind, inspect.DictType):
            return self._dict(node, kind, path)
        if isinstance(kind, inspect.VarTupleType):
            return self._list(node, kind, path)
        if not isinstance(node, YamlScalar):
            return self._refuse(node, path, f"here stands {_what(node)}", f"write {expected(kind)}")
        return self._scalar(node, kind, path)

    def _struct(self, node: YamlNode, kind: inspect.StructType, path: Path) -> Any:
        if not isinstance(node, YamlMap):
            return self._no_map(node, path, f"with keys like `{kind.fields[0].encode_name}`")
        known = {field.encode_name: field for field in kind.fields}
        made = {}
        for name, value in node.items.items():
            inner = (*path, name)
            self.lines[inner] = node.key_lines[name]
            if name not in known:
                is_torn = any(char in name for char in "()<>=")
                hint = "text with `,` needs quotes between braces" if is_torn else nearest(name, known)
                self._tell(node.key_lines[name], inner, "there is no such key", hint)
                continue
            found = self.read(value, known[name].type, inner)
            if found is not _MISSING:
                made[name] = found
        for name, field in known.items():
            if field.required and name not in node.items:
                hint = f"add `{name}:`, {expected(field.type)}"
                self._tell(node.line, path, f"the key `{name}` is missing", hint)
        return made if not any(f.required and f.encode_name not in made for f in kind.fields) else _MISSING

    def _dict(self, node: YamlNode, kind: inspect.DictType, path: Path) -> Any:
        if not isinstance(node, YamlMap):
            return self._no_map(node, path, "of names and what they stand for")
        made = {}
        for name, value in node.items.items():
            inner = (*path, name)
            self.lines[inner] = node.key_lines[name]
            if len(name) > NAME_CHARS_MAX:
                self._tell(
                    node.key_lines[name], inner, f"the name has more than {NAME_CHARS_MAX} characters", "shorten it"
                )
                continue
            found = self.read(value, kind.value_type, inner)
            if found is not _MISSING:
                made[name] = found
        return made

    def _list(self, node: YamlNode, kind: inspect.VarTupleType, path: Path) -> Any:
        if not isinstance(node, YamlList):
            if isinstance(node, YamlScalar) and node.text:
                hint = f"write `[{cut(node.text)}]`"
            else:
                hint = "write `[one, two]`, or a line with `- ` for each"
            return self._refuse(node, path, f"here stands {_what(node)}, and a list is wanted", hint)
        found = [self.read(item, kind.item_type, (*path, index)) for index, item in enumerate(node.items)]
        return [item for item in found if item is not _MISSING]

    def _union(self, node: YamlNode, kind: inspect.UnionType, path: Path) -> Any:
        real = [option for option in kind.types if not isinstance(option, inspect.NoneType)]
        if isinstance(node, YamlScalar):
            if node.is_plain and node.text in _NULLS and len(real) < len(kind.types):
                return None
            plain = [option for option in real if not _is_compound(option)]
            if len(plain) > 1:
                return self._open(node, path)
            return self.read(node, (plain or real)[0], path)
        wanted = inspect.VarTupleType if isinstance(node, YamlList) else inspect.StructType | inspect.DictType
        fitting = [option for option in real if isinstance(option, wanted)]
        if not fitting:
            return self._refuse(node, path, f"here stands {_what(node)}", f"write {expected(kind)}")
        return self.read(node, fitting[0], path)

    def _anything(self, node: YamlNode, path: Path) -> Any:
        self.lines.setdefault(path, node.line)
        if isinstance(node, YamlScalar):
            return None if node.is_plain and node.text in _NULLS else self._open(node, path)
        if isinstance(node, YamlList):
            found = [self._anything(item, (*path, index)) for index, item in enumerate(node.items)]
            return [item for item in found if item is not _MISSING]
        pairs = [(name, self._anything(value, (*path, name))) for name, value in node.items.items()]
        return {name: value for name, value in pairs if value is not _MISSING}

    def _open(self, node: YamlScalar, path: Path) -> Any:
        """Return a scalar where any may stand: it must say which it is."""
        text = node.text
        if not node.is_plain:
            return text
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        if _NUMBER.fullmatch(text):
            return self._number(node, path)
        if not text:
            return self._refuse(node, path, "there is no value", 'write one, or `""` for empty text')
        meant = _BOOLEAN_LIKE.get(text.lower())
        if meant is not None:
            return self._refuse(
                node, path, f"`{text}` could be true or false, or text", f'write `{meant}`, or `"{text}"`'
            )
        if _is_ambiguous(text):
            number = _plain_number(text)
            hint = f'write `{number}`, or `"{cut(text)}"`' if number else f'write `"{cut(text)}"`'
            return self._refuse(node, path, f"`{cut(text)}` could be a number or a time, or text", hint)
        return text

    def _scalar(self, node: YamlScalar, kind: inspect.Type, path: Path) -> Any:
        text = node.text
        if node.is_plain and not text:
            return self._refuse(node, path, "there is no value", f"write {expected(kind)}, or leave the key out")
        if isinstance(kind, inspect.StrType):
            if node.is_plain and text in _NULLS:
                return self._refuse(node, path, f"`{text}` is no text", f'write `"{text}"`, or leave the key out')
            return text
        if isinstance(kind, inspect.LiteralType):
            return self._literal(node, kind, path)
        if isinstance(kind, inspect.BoolType):
            if node.is_plain and text in _BOOLEANS:
                return _BOOLEANS[text]
            meant = _BOOLEAN_LIKE.get(text.lower(), text.lower())
            hint = f"write `{meant}`" if meant in ("true", "false") else f"write {expected(kind)}"
            return self._refuse(node, path, f"`{cut(text)}` is neither `true` nor `false`", hint)
        assert isinstance(kind, inspect.IntType | inspect.FloatType), "every type of the world file is read"
        if not node.is_plain or not _NUMBER.fullmatch(text):
            number = _plain_number(text)
            hint = f"write `{number}`" if number else f"write {expected(kind)}"
            return self._refuse(node, path, f"`{cut(text)}` is no number", hint)
        number = self._number(node, path)
        return number if number is _MISSING else self._bounded(node, number, kind, path)

    def _literal(self, node: YamlScalar, kind: inspect.LiteralType, path: Path) -> Any:
        by_text = {str(value): value for value in kind.values}
        if node.text in by_text:
            return by_text[node.text]
        return self._refuse(node, path, f"`{cut(node.text)}` is not known here", nearest(node.text, by_text))

    def _number(self, node: YamlScalar, path: Path) -> Any:
        digits = node.text.lstrip("+-")
        matched = _NUMBER.fullmatch(node.text)
        assert matched, "it is a number"
        value: Any = _MISSING
        if len(digits) <= NAME_CHARS_MAX:
            value = float(node.text) if matched["rest"] else int(node.text)
        if value is _MISSING or abs(value) > MAGNITUDE_MAX:
            return self._refuse(node, path, f"`{cut(digits)}` is larger than 1e18", "use a larger unit")
        return value

    def _bounded(self, node: YamlScalar, number: float, kind: inspect.IntType | inspect.FloatType, path: Path) -> Any:
        wanted = f"write {expected(kind)}"
        if isinstance(kind, inspect.IntType):
            if number != int(number):
                return self._refuse(node, path, f"`{cut(node.text)}` is no whole number", wanted)
            number = int(number)
        is_low = (kind.ge is not None and number < kind.ge) or (kind.gt is not None and number <= kind.gt)
        return self._refuse(node, path, f"`{cut(node.text)}` is too small", wanted) if is_low else number

    def _no_map(self, node: YamlNode, path: Path, of: str) -> Any:
        if isinstance(node, YamlScalar) and node.is_plain and not node.text:
            hint = "leave the key out, or indent what belongs to it"
            return self._refuse(node, path, "there is nothing below it", hint)
        return self._refuse(node, path, f"here stands {_what(node)}", f"write a mapping {of}")

    def _refuse(self, node: YamlNode, path: Path, message: str, hint: str) -> Any:
        self._tell(node.line, path, message, hint)
        return _MISSING

    def _tell(self, line: int, path: Path, message: str, hint: str) -> None:
        self.problems.append(Problem(line, shown(path), message, hint))


def read_as(node: YamlNode, kind: type[msgspec.Struct]) -> tuple[Any, Shape]:
    """Return the plain values of a node that should be a `kind`, None where too much is missing, and the reading."""
    shape = Shape()
    found = shape.read(node, inspect.type_info(kind))
    return (None if found is _MISSING else found), shape


def expected(kind: inspect.Type) -> str:
    """Return in words what a value of a type must be."""
    if isinstance(kind, inspect.UnionType):
        told = dict.fromkeys(expected(item) for item in kind.types if not isinstance(item, inspect.NoneType))
        return " or ".join(told)
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        word = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
        above = f" above {kind.gt:g}" if kind.gt is not None else ""
        return word + (f" from {kind.ge:g}" if kind.ge is not None else above)
    if isinstance(kind, inspect.LiteralType):
        return "one of " + ", ".join(f"`{value}`" for value in kind.values)
    if isinstance(kind, inspect.BoolType):
        return "`true` or `false`"
    if isinstance(kind, inspect.VarTupleType):
        return "a list"
    if isinstance(kind, inspect.StrType):
        return "text"
    return "a mapping" if isinstance(kind, inspect.StructType | inspect.DictType) else "a value"


def _is_compound(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.StructType | inspect.DictType | inspect.VarTupleType)


def _what(node: YamlNode) -> str:
    if isinstance(node, YamlScalar):
        return f"`{cut(node.text)}`" if node.text else "nothing"
    return "a list" if isinstance(node, YamlList) else "a mapping"


def _is_ambiguous(text: str) -> bool:
    """Tell whether some reader of YAML takes plain text for something else than text."""
    if _NUMBER_LIKE.fullmatch(text) or text.lower() in ("null", "true", "false", "=") or text.startswith("0o"):
        return True
    return any(pattern.match(text) for _, pattern in _RESOLVER.get(text[0], ()))


def _plain_number(text: str) -> str:
    """Return the number that a text seems to mean, as it is written here; empty where that is not clear."""
    if _MINUTES.fullmatch(text):
        return ""
    bare = text.strip().replace("_", "").replace(",", "").lstrip("+")
    if bare.startswith("."):
        bare = "0" + bare
    if re.fullmatch(r"-?0+[0-9]+", bare):
        return ""
    bare = bare.removesuffix(".")
    return bare if len(bare) < 20 and _NUMBER.fullmatch(bare) else ""
