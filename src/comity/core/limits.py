"""Limits on everything, in one place; units stand last in each name."""

from __future__ import annotations

from typing import Final

INLINE_BYTES_MAX: Final = 1_024
"""A payload up to this size lives in its entry; above it, in a segment."""
SEGMENT_EARLY_BYTES: Final = 65_536
"""A segment above this size is written in a transaction of its own before the entry that points to it."""
SEGMENT_BYTES_MAX: Final = 512 * 1024 * 1024
GOAL_BYTES_MAX: Final = 1024 * 1024
ARGS_BYTES_MAX: Final = 16 * 1024 * 1024
NAME_CHARS_MAX: Final = 200
BRANCH_CHARS_MAX: Final = 400
JSON_DEPTH_MAX: Final = 100
TOKENS_MAX: Final = 10**12
"""No count of tokens is larger: each must fit into a column, and its price too."""
BATCH_ROWS_MAX: Final = 2_000
BATCH_BYTES_MAX: Final = 1_048_576
SERVER_BODY_BYTES_MAX: Final = 32 * 1024 * 1024
FRAME_BYTES_MAX: Final = 1024 * 1024 * 1024
PERMIT_S: Final = 5.0
LEASE_S: Final = 10.0
LEASE_MARGIN_S: Final = 2.0
AFFINITY_GRACE_S: Final = 0.25
ENTRY_FORMAT: Final = 1
"""Version of the entry format, written into each task's first entry."""
NEVER_US: Final = 2**62
"""A moment that does not come: when a task is due that waits for something else than time."""
