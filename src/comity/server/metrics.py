"""What Prometheus is told: calls, costs and errors as they are journaled here, tasks and permits as they stand."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Callable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from comity.core.clock import Clock
from comity.core.errors import ComityError
from comity.core.ids import Id
from comity.journal.call import Kind, Status
from comity.journal.entry import Body, Entry, Outcome
from comity.runtime.node import Node
from comity.server.auth import Gatekeeper
from comity.server.problem import problem_response

PATH = "/metrics"
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The counters of one node, in a registry of their own. `watchers` counts who follows events."""

    def __init__(self, node: Node, watchers: Callable[[], int]) -> None:
        """Count what `node` journals from now on."""
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(_Standing(node, watchers))
        self._calls = self._counter("comity_calls", "Calls that ended, by device and how.", "kind", "status")
        self._tokens = self._counter("comity_model_tokens", "Tokens of model calls.", "direction")
        self._usd = self._counter("comity_model_cost_usd", "What model calls cost, in dollars.")
        self._errors = self._counter("comity_model_errors", "Model calls without an answer.", "code")
        self.requests = Histogram(
            "comity_http_request_seconds",
            "Time until an answer began.",
            ("method", "route", "status"),
            registry=self.registry,
            buckets=BUCKETS_S,
        )
        node.kernel.on_entry.append(self._count)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _count(self, _task: Id, item: Entry, body: Body) -> None:
        if type(body) is not Outcome:
            return
        self._calls.labels(item.kind, str(body.status)).inc()
        if item.kind != Kind.MODEL:
            return
        if body.cost is not None:
            self._tokens.labels("in").inc(body.cost.tokens_in)
            self._tokens.labels("out").inc(body.cost.tokens_out)
            self._usd.inc(body.cost.usd_micro / 1e6)
        if body.status is not Status.DONE and body.problem is not None:
            self._errors.labels(body.problem.code).inc()


class Measured:
    """Measures how long each request waits for its answer to begin."""

    def __init__(self, app: ASGIApp, metrics: Metrics, clock: Clock) -> None:
        """Measure `app`."""
        self._app = app
        self._requests = metrics.requests
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = self._clock.monotonic_s()

        async def measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                taken_s = self._clock.monotonic_s() - began_s
                route = getattr(scope.get("route"), "path", "none")  # never the path itself: it may hold a token
                self._requests.labels(scope["method"], route, str(message["status"])).observe(taken_s)
            await send(message)

        await self._app(scope, receive, measured)


def route_of(metrics: Metrics, gatekeeper: Gatekeeper, *, is_open: bool) -> Route:
    """Return the route of the metrics; operators alone see them, unless `is_open`."""

    async def serve(request: Request) -> Response:
        try:
            if not is_open:
                await gatekeeper.admit(request.headers)
        except ComityError as error:
            return problem_response(error)
        return Response(generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return Route(PATH, serve, methods=["GET"])


class _Standing(Collector):
    """What is looked up when it is asked for."""

    def __init__(self, node: Node, watchers: Callable[[], int]) -> None:
        self._node = node
        self._watchers = watchers

    def collect(self) -> Iterator[Metric]:
        """Look."""
        runs = list(self._node.kernel.runs.values())
        tasks = GaugeMetricFamily("comity_tasks", "Tasks that this node holds, by state.", labels=["state"])
        for state, count in sorted(Count(str(run.row.state) for run in runs).items()):
            tasks.add_metric([state], count)
        yield tasks
        permits = sum(len(run.permits) for run in runs)
        yield GaugeMetricFamily("comity_permits", "Attempts that may be running.", permits)
        yield GaugeMetricFamily("comity_watchers", "Clients that follow events.", self._watchers())
