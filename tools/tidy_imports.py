"""Rules on what a file may reach for (clocks, chance, sleep, the network) and on how modules import each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from tidy_source import Finding, Source, without_type_checking

CLOCK_AND_CHANCE_FILES = {"src/comity/core/clock.py", "src/comity/core/entropy.py"}
WALL_CLOCK = {
    "time.time",
    "time.time_ns",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "datetime.date.today",
}
CLOCK = WALL_CLOCK | {
    "time.clock_gettime",
    "time.clock_gettime_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
}
CHANCE = {"os.urandom", "os.getrandom", "uuid.uuid1", "uuid.uuid4", "uuid.uuid6", "uuid.uuid7"}
CHANCE_MODULES = ("random", "secrets")
SLEEP = {"time.sleep", "asyncio.sleep", "anyio.sleep"}

NETWORK_LAYERS = {"stores", "models", "hands", "gateway", "server", "runtime"}
NETWORK_MODULES = (
    "aiohttp",
    "ftplib",
    "http.client",
    "http.server",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "requests",
    "smtplib",
    "socket",
    "socketserver",
    "urllib.request",
    "websockets",
)
NETWORK_CALLS = {
    "asyncio.open_connection",
    "asyncio.open_unix_connection",
    "asyncio.start_server",
    "asyncio.start_unix_server",
}

Graph = Mapping[str, Mapping[str, int]]


def clock(source: Source) -> Iterator[Finding]:
    """The product asks core's `Clock` for the time, and never the machine."""
    if source.is_product and source.path not in CLOCK_AND_CHANCE_FILES:
        for node, name in _uses(source, CLOCK):
            message = f"`{name}` is read directly; ask a `Clock` of comity.core"
            yield Finding(source.path, node.lineno, "clock", message)


def chance(source: Source) -> Iterator[Finding]:
    """The product takes chance from core's `Entropy`, so that a seeded run repeats."""
    if not source.is_product or source.path in CLOCK_AND_CHANCE_FILES:
        return
    found = {(node.lineno, name) for node, name in _uses(source, CHANCE)}
    found |= {(line, name) for line, name in source.imports() if _is_below(name, CHANCE_MODULES)}
    for line, name in sorted(found):
        yield Finding(
            source.path, line, "chance", f"`{name}` is used directly; take it from an `Entropy` of comity.core"
        )


def network(source: Source) -> Iterator[Finding]:
    """The product reaches the network from `stores`, `models`, `hands`, `server` and `runtime` only."""
    if not source.is_product or source.layer in NETWORK_LAYERS:
        return
    found = {(node.lineno, name) for node, name in _uses(source, NETWORK_CALLS)}
    found |= {(line, name) for line, name in source.imports() if _is_below(name, NETWORK_MODULES)}
    for line, name in sorted(found):
        message = f"`{name}` reaches the network; only {', '.join(sorted(NETWORK_LAYERS))} may"
        yield Finding(source.path, line, "network", message)


def test_sleep(source: Source) -> Iterator[Finding]:
    """A test never sleeps (`asyncio.sleep(0)`, which yields, apart) and never reads the wall clock."""
    if not source.path.startswith("tests/") or source.path.startswith("tests/benchmarks/"):
        return
    yields = {id(node.func) for node in source.nodes if isinstance(node, ast.Call) and _is_zero(node.args)}
    for node, name in _uses(source, SLEEP):
        if name == "time.sleep" or id(node) not in yields:
            message = f"a test calls `{name}`; wait for the condition, or step a fake clock"
            yield Finding(source.path, node.lineno, "test-sleep", message)
    for node, name in _uses(source, WALL_CLOCK):
        message = f"a test reads `{name}`; use a fake clock"
        yield Finding(source.path, node.lineno, "test-sleep", message)


RULES = (clock, chance, network, test_sleep)


def import_cycles(sources: Sequence[Source]) -> Iterator[Finding]:
    """No modules of the product import each other in a circle when they run (`TYPE_CHECKING` apart)."""
    products = {source.module: source for source in sources if source.is_product}
    graph = {name: _imported_modules(source, products) for name, source in products.items()}
    for circle in _circles(graph):
        first = circle[0]
        message = f"an import cycle: {' -> '.join([*circle, first])}"
        yield Finding(products[first].path, graph[first][circle[1]], "import-cycle", message)


def _uses(source: Source, names: set[str]) -> Iterator[tuple[ast.expr, str]]:
    return ((node, name) for node, name in source.references() if name in names)


def _is_below(name: str, modules: Sequence[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _is_zero(arguments: Sequence[ast.expr]) -> bool:
    return len(arguments) == 1 and isinstance(arguments[0], ast.Constant) and arguments[0].value == 0


def _imported_modules(source: Source, products: Mapping[str, Source]) -> dict[str, int]:
    """The product's modules that a module imports by name, each with the line; lazy names of `__getattr__` apart."""
    found: dict[str, int] = {}
    eager = [
        node for node in source.tree.body if not (isinstance(node, ast.FunctionDef) and node.name == "__getattr__")
    ]
    for node in without_type_checking(eager):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(source, node)
            submodules = [f"{base}.{alias.name}" for alias in node.names]
            names = [name if name in products else base for name in submodules]
        for name in names:
            if name in products and name != source.module:
                found.setdefault(name, node.lineno)
    return found


def _absolute(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = source.module.split(".")
    parts = parts[: len(parts) - node.level + source.is_init]
    return ".".join([*parts, node.module] if node.module else parts)


def _circles(graph: Graph) -> Iterator[list[str]]:
    """One shortest circle for each knot of modules, found from its first module in alphabetical order."""
    done: set[str] = set()
    for start in sorted(graph):
        if start not in done:
            circle = _shortest_circle(graph, start)
            if circle:
                done |= _reachable(graph, start) & {name for name in graph if start in _reachable(graph, name)}
                yield circle


def _shortest_circle(graph: Graph, start: str) -> list[str]:
    paths = [[start]]
    seen = {start}
    while paths:
        path = paths.pop(0)
        for name in sorted(graph[path[-1]]):
            if name == start:
                return path
            if name not in seen:
                seen.add(name)
                paths.append([*path, name])
    return []


def _reachable(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        fresh = set(graph[waiting.pop()]) - seen
        seen |= fresh
        waiting.extend(fresh)
    return seen
