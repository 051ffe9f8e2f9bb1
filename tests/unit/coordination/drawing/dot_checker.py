"""A small reader of DOT: enough to say whether a graph is well formed, and what its nodes and edges are."""

from __future__ import annotations

import re

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|->|[{}\[\];,=]|[A-Za-z_][A-Za-z_0-9]*|-?\d+(?:\.\d+)?|\s+')


class Dot:
    """Nodes and edges of a graph with their attributes; raises ValueError where it is none."""

    def __init__(self, text: str) -> None:
        self.nodes: dict[str, dict[str, str]] = {}
        self.edges: list[tuple[str, str, dict[str, str]]] = []
        self._tokens = _tokens(text)
        self._expect("digraph")
        self._tokens.pop(0)
        self._block()
        if self._tokens:
            raise ValueError(f"after the graph: {self._tokens[:3]}")

    def _block(self) -> None:
        self._expect("{")
        while self._tokens and self._tokens[0] != "}":
            self._statement()
        self._expect("}")

    def _statement(self) -> None:
        if self._tokens[0] == "{":
            self._block()
            return
        name = self._tokens.pop(0)
        if self._tokens[0] == "=":
            self._tokens.pop(0)
            self._tokens.pop(0)
        elif self._tokens[0] == "->":
            self._tokens.pop(0)
            self.edges.append((name, self._tokens.pop(0), self._attributes()))
        else:
            found = self._attributes()
            if name not in {"graph", "node", "edge"} and found:
                self.nodes[name] = found
        self._expect(";")

    def _attributes(self) -> dict[str, str]:
        found: dict[str, str] = {}
        if self._tokens[0] != "[":
            return found
        self._tokens.pop(0)
        while self._tokens[0] != "]":
            key = self._tokens.pop(0)
            self._expect("=")
            value = self._tokens.pop(0)
            found[key] = value[1:-1] if value.startswith('"') else value
            if self._tokens[0] == ",":
                self._tokens.pop(0)
        self._expect("]")
        return found

    def _expect(self, token: str) -> None:
        if not self._tokens or self._tokens.pop(0) != token:
            raise ValueError(f"expected {token}, then: {self._tokens[:5]}")


def _tokens(text: str) -> list[str]:
    found, place = [], 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"not DOT: {text[place : place + 20]!r}")
        if not match[0].isspace():
            found.append(match[0])
        place = match.end()
    return found
