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
    """When two fields are guessed to be coupled, and how many are watched."""

    bucket_s: float = 10.0
    lags_max: int = 6
    together_min: int = 12
    correlation_min: float = 0.8
    fields_max: int = 64
    pairs_max: int = 4_096


class _Series(msgspec.Struct):
    start: int
    value: float
    bucket: int
    steps: dict[int, float] = {}
    total: float = 0.0
    squares: float = 0.0


class _Pair(msgspec.Struct):
    """Sums over two fields. One that was known before the other counts whole: the guess is too low, never too high."""

    start: int
    together: int = 0
    product: float = 0.0


class Correlation:
    """The estimator: fed with events, it keeps sums alone. A value older than its bucket's is passed over.

    Cost: for each step of a field, `lags_max` looks at each field that is watched; memory is bounded by its limits.
    """

    def __init__(self, limits: GuessLimits) -> None:
        """Watch nothing yet."""
        self.limits = limits
        self._bucket_us = max(1, int(limits.bucket_s * 1_000_000))
        self._series: dict[str, _Series] = {}
        self._pairs: dict[tuple[str, str, int], _Pair] = {}
        self._now = 0

    def feed(self, event: WorldEvent) -> None:
        """Take the numbers that an event tells of."""
        if isinstance(event, Seen):
            self._told(event.field, event.at_us, event.value)
        elif isinstance(event, Acted):
            for change in event.changes:
                self._told(change.field, event.at_us, change.after)

    def guesses(self) -> tuple[Guess, ...]:
        """Return the pairs above the thresholds, each at its best lag, the strongest first."""
        best: dict[tuple[str, str], Guess] = {}
        for source, target, lag in sorted(self._pairs):
            guess = self._guess(source, target, lag)
            if guess is None:
                continue
            key = (min(source, target), max(source, target))
            known = best.get(key)
            if known is None or abs(guess.correlation) > abs(known.correlation) + 1e-9:
                best[key] = guess
        return tuple(sorted(best.values(), key=lambda it: (-abs(it.correlation), it.source, it.target)))

    def _told(self, field: str, at_us: int, value: FieldValue) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return
        bucket = at_us // self._bucket_us
        series = self._series.get(field)
        if series is None:
            self._make_room()
            self._series[field] = _Series(start=bucket, value=float(value), bucket=bucket)
            return
        if bucket < series.bucket:
            return
        self._now = max(self._now, bucket)
        step = float(value) - series.value
        series.value = float(value)
        if step:
            self._stepped(field, series, bucket, step)
        series.bucket = bucket

    def _stepped(self, field: str, series: _Series, bucket: int, step: float) -> None:
        """Add a step to its bucket; products with steps of others are moved by what it adds."""
        before = series.steps.get(bucket, 0.0)
        series.steps[bucket] = before + step
        series.total += step
        series.squares += (before + step) ** 2 - before**2
        for old in [known for known in series.steps if known < bucket - 2 * self.limits.lags_max]:
            del series.steps[old]
        for other, others in self._series.items():
            if other == field:
                continue
            for lag in range(self.limits.lags_max + 1):
                led = others.steps.get(bucket - lag)
                if led is not None:
                    source, target = (other, field) if lag or other < field else (field, other)
                    self._add(source, target, lag, step * led, is_first=not before)
                followed = others.steps.get(bucket + lag) if lag else None
                if followed is not None:
                    self._add(field, other, lag, step * followed, is_first=not before)

    def _add(self, source: str, target: str, lag: int, product: float, *, is_first: bool) -> None:
        pair = self._pairs.get((source, target, lag))
        if pair is None:
            if len(self._pairs) >= self.limits.pairs_max:
                return
            one, two = self._series[source], self._series[target]
            pair = self._pairs[source, target, lag] = _Pair(start=max(one.start, two.start))
        pair.together += is_first
        pair.product += product

    def _guess(self, source: str, target: str, lag: int) -> Guess | None:
        pair, one, two = self._pairs[source, target, lag], self._series[source], self._series[target]
        buckets = self._now - pair.start + 1 - lag
        if pair.together < self.limits.together_min or buckets < self.limits.together_min:
            return None
        spread = (one.squares - one.total**2 / buckets) * (two.squares - two.total**2 / buckets)
        if spread <= 0.0:
            return None
        correlation = (pair.product - one.total * two.total / buckets) / math.sqrt(spread)
        if abs(correlation) < self.limits.correlation_min:
            return None
        bounded = round(max(-1.0, min(1.0, correlation)), 6)
        return Guess(source, target, lag * self.limits.bucket_s, bounded, pair.together, buckets)

    def _make_room(self) -> None:
        if len(self._series) < self.limits.fields_max:
            return
        oldest = min(self._series, key=lambda name: (self._series[name].bucket, name))
        del self._series[oldest]
        for key in [key for key in self._pairs if oldest in key[:2]]:
            del self._pairs[key]
