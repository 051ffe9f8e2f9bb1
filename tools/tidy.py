"""Tidy: the house style that a machine can check, as a test of the tree.

Run from the repository: `python tools/tidy.py` prints each finding as `path:line rule message` and fails if there is
one; `--stats` adds the medians. There is no inline escape: an exception is an entry of `tools/tidy_allow.toml`
(rule, path, reason), and an entry that excuses nothing is a finding itself.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles

import tidy_imports
import tidy_shape
from tidy_source import Finding, Source, functions, load

GLOSSARY = "docs/concepts/glossary.md"
ALLOW_LIST = "tools/tidy_allow.toml"
RULE_NAMES = {
    *("file-length", "function-length", "parameters", "vague-name", "docstring", "init-only-exports", "exports"),
    *("broad-except", "clock", "chance", "network", "test-sleep", "import-cycle", "glossary"),
}


def find(root: Path) -> list[Finding]:
    """Return what is not tidy below `root`, in order of path and line, less what the allow-list excuses."""
    sources, findings = load(root)
    for source in sources:
        for rule in (*tidy_shape.RULES, *tidy_imports.RULES):
            findings.extend(rule(source))
    findings.extend(tidy_imports.import_cycles(sources))
    if (root / GLOSSARY).exists():
        findings.extend(glossary(sources, (root / GLOSSARY).read_text(encoding="utf-8")))
    return sorted(_less_the_allowed(root, findings))


def glossary(sources: Sequence[Source], text: str) -> Iterator[Finding]:
    """Every public class of the product is named in the glossary: one term, one meaning."""
    known = set(re.findall(r"\w+", text))
    for source in sources:
        if not source.is_product or any(part.startswith("_") for part in source.module.split(".")):
            continue
        for node in source.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name not in known:
                yield Finding(
                    source.path, node.lineno, "glossary", f"`{node.name}` is not in {GLOSSARY}; say what it means"
                )


def _less_the_allowed(root: Path, findings: list[Finding]) -> Iterator[Finding]:
    """Leave out what the allow-list excuses; add what is wrong with the list itself."""
    file = root / ALLOW_LIST
    data = tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    entries = data.get("allow", [])
    if set(data) - {"allow"} or not isinstance(entries, list):
        yield Finding(ALLOW_LIST, 1, "allow-list", "only [[allow]] entries are known")
        entries = []
    excused: set[tuple[str, str]] = set()
    for number, entry in enumerate(entries, start=1):
        fault = _fault(entry, findings, excused)
        if fault:
            yield Finding(ALLOW_LIST, 1, "allow-list", f"entry {number} {fault}")
        else:
            excused.add((entry["rule"], entry["path"]))
    yield from (finding for finding in findings if (finding.rule, finding.path) not in excused)


def _fault(entry: object, findings: list[Finding], excused: set[tuple[str, str]]) -> str:
    """What is wrong with an entry of the allow-list, or an empty string."""
    if not isinstance(entry, dict) or set(entry) != {"rule", "path", "reason"}:
        return "must have exactly rule, path and reason"
    rule, path = entry["rule"], entry["path"]
    if rule not in RULE_NAMES:
        return f"names the unknown rule `{rule}`; known: {', '.join(sorted(RULE_NAMES))}"
    if not str(entry["reason"]).strip():
        return f"gives no reason for `{rule}` in {path}"
    if (rule, path) in excused:
        return f"excuses `{rule}` in {path} a second time"
    if not any((finding.rule, finding.path) == (rule, path) for finding in findings):
        return f"excuses nothing: {path} keeps `{rule}`; remove it"
    return ""


def statistics(sources: Sequence[Source]) -> list[str]:
    """Describe the product's files and functions in one line each; goals are in the house style, none is enforced."""
    products = [source for source in sources if source.is_product]
    files = [len(source.text.splitlines()) for source in products if not source.is_init]
    whole = [tidy_shape.lines_of(node) for source in products for node, _ in functions(source)]
    code = [tidy_shape.code_lines_of(node) for source in products for node, _ in functions(source)]
    return [
        f"files: {_described(files)} (goal: median 100 to 200)",
        f"functions: {_described(code)} without docstrings (goal: median under 10, p90 under 30)",
        f"functions: {_described(whole)} with docstrings",
    ]


def _described(lengths: list[int]) -> str:
    if len(lengths) < 2:
        return f"{len(lengths)} of them"
    ninth = quantiles(lengths, n=10, method="inclusive")[-1]
    return f"{len(lengths)} of them, median {median(lengths):.0f} lines, p90 {ninth:.0f}, longest {max(lengths)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the tree, print what is not tidy, and return the exit code."""
    parser = argparse.ArgumentParser(prog="tidy", description="check the house style")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent, help="the repository")
    parser.add_argument("--stats", action="store_true", help="print medians of file and function lengths")
    options = parser.parse_args(arguments)
    findings = find(options.root)
    for finding in findings:
        print(finding)
    if not (options.root / GLOSSARY).exists():
        print(f"note: {GLOSSARY} does not exist yet, so public classes are not looked up in it")
    if options.stats:
        print("\n".join(statistics(load(options.root)[0])))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
