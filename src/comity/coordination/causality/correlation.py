"""Guesses: numeric fields that move together, one some time after the other, though nobody declared it.

Time is cut into buckets. A field's step is the change of its last value from one bucket to the next; two fields are
correlated over the steps of all buckets since both are known. Correlation is no cause: a guess is never an edge.

Source: Pearson's coefficient of first differences, at each lag (a plain cross-correlation).
"""

from __future__ import annotations

import math

import msgspec

from comity.journal.world import Acted, FieldValue, Seen, WorldEvent


class Guess(msgspec.Struct, frozen=True, omit_defaults=True):
    """Two fields whose steps go together: `target` follows `source` after `lag_s` (0: at once, no direction).

    `correlation` is from -1 to 1; `together` counts the buckets in which both moved, of `buckets` looked at.
    """

    source: str
    target: str
    lag_s: float
    correlation: float
    together: int
    buckets: int


class GuessLimits(msgspec.Struct, frozen=True):
    """When two fields are guessed to be coupled, and how many are watched.

    A further field takes the place of one that was not told of for `quiet_buckets`; else it is not watched.
    """

    bucket_s: float = 10.0
    lags_max: int = 6
    together_min: int = 12
    correlation_min: float = 0.8
    fields_max: int = 40
    quiet_buckets: int = 360
    pairs_max: int = 30_000


class _Series(msgspec.Struct):
    start: int
    value: float
    last: int
    total: float = 0.0
    squares: float = 0.0


class _Pair(msgspec.Struct):
    """Sums over two fields. One that was known before the other counts whole: the guess is too low, never too high."""

    start: int
    together: int = 0
    product: float = 0.0


class Correlation:
    """The estimator: fed with events, it keeps sums alone. A value older than the open bucket is passed over.

    Cost: constant for a value; when a bucket closes, one product for each pair of fields that moved in it or lately.
    """

    def __init__(self, limits: GuessLimits) -> None:
        """Watch nothing yet."""
        self.limits = limits
        self._bucket_us = max(1, int(limits.bucket_s * 1_000_000))
        self._series: dict[str, _Series] = {}
        self._pairs: dict[tuple[str, str, int], _Pair] = {}
        self._steps: dict[int, dict[str, float]] = {}
        self._now = -1
        self._looked = -1
        self._guesses: tuple[Guess, ...] | None = None

    def feed(self, event: WorldEvent) -> None:
        """Take the numbers that an event tells of."""
        if isinstance(event, Seen):
            self._told(event.field, event.at_us, event.value)
        elif isinstance(event, Acted):
            for change in event.changes:
                self._told(change.field, event.at_us, change.after)

    def guesses(self) -> tuple[Guess, ...]:
        """Return the pairs above the thresholds in the closed buckets, each at its best lag, the strongest first."""
        if self._guesses is not None:
            return self._guesses
        best: dict[tuple[str, str], Guess] = {}
        for source, target, lag in sorted(key for key, pair in self._pairs.items() if self._is_enough(pair)):
            guess = self._guess(source, target, lag)
            if guess is None:
                continue
            key = (min(source, target), max(source, target))
            known = best.get(key)
            if known is None or abs(guess.correlation) > abs(known.correlation) + 1e-9:
                best[key] = guess
        self._guesses = tuple(sorted(best.values(), key=lambda it: (-abs(it.correlation), it.source, it.target)))
        return self._guesses

    def _told(self, field: str, at_us: int, value: FieldValue) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return
        bucket = at_us // self._bucket_us
        if bucket < self._now:
            return
        if bucket > self._now:
            self._close()
            self._now = bucket
        series = self._series.get(field)
        if series is None:
            if len(self._series) >= self.limits.fields_max and not self._makes_room():
                return
            self._series[field] = _Series(start=bucket, value=float(value), last=bucket)
            return
        step = float(value) - series.value
        series.value, series.last = float(value), bucket
        if step:
            steps = self._steps.setdefault(bucket, {})
            steps[field] = steps.get(field, 0.0) + step

    def _close(self) -> None:
        """Add the steps of the open bucket to the sums: with those of the same bucket, and of the ones before."""
        steps = self._steps.get(self._now, {})
        for field, step in steps.items():
            series = self._series[field]
            series.total += step
            series.squares += step * step
        for lag in range(self.limits.lags_max + 1) if steps else ():
            for source, led in self._steps.get(self._now - lag, {}).items():
                for target, step in steps.items():
                    if source < target or (lag and source != target):
                        self._add(source, target, lag, led * step)
        for old in [bucket for bucket in self._steps if bucket <= self._now - self.limits.lags_max]:
            del self._steps[old]
        self._guesses = None

    def _add(self, source: str, target: str, lag: int, product: float) -> None:
        pair = self._pairs.get((source, target, lag))
        if pair is None:
            if len(self._pairs) >= self.limits.pairs_max:
                return
            start = max(self._series[source].start, self._series[target].start)
            pair = self._pairs[source, target, lag] = _Pair(start)
        pair.together += 1
        pair.product += product

    def _is_enough(self, pair: _Pair) -> bool:
        return pair.together >= self.limits.together_min

    def _guess(self, source: str, target: str, lag: int) -> Guess | None:
        pair, one, two = self._pairs[source, target, lag], self._series[source], self._series[target]
        buckets = self._now - pair.start - lag
        if buckets < self.limits.together_min:
            return None
        spread = (one.squares - one.total**2 / buckets) * (two.squares - two.total**2 / buckets)
        if not 0.0 < spread < math.inf:
            return None
        correlation = (pair.product - one.total * two.total / buckets) / math.sqrt(spread)
        if not abs(correlation) >= self.limits.correlation_min:
            return None
        bounded = round(max(-1.0, min(1.0, correlation)), 6)
        return Guess(source, target, lag * self.limits.bucket_s, bounded, pair.together, buckets)

    def _makes_room(self) -> bool:
        """Forget the field that was told of longest ago, if that is long; looked for once in a bucket."""
        if self._looked == self._now:
            return False
        self._looked = self._now
        oldest = min(self._series, key=lambda name: (self._series[name].last, name))
        if self._series[oldest].last > self._now - self.limits.quiet_buckets:
            return False
        del self._series[oldest]
        for key in [key for key in self._pairs if oldest in key[:2]]:
            del self._pairs[key]
        for steps in self._steps.values():
            steps.pop(oldest, None)
        self._guesses = None
        return True
