-- The first schema. Positions, task numbers and message ids are never used twice.
-- AUTOINCREMENT costs each insert a page of its own: entries do without, for pruning leaves the last of them.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- due_us: NULL where nobody may take the task, 0 where it may be taken now, else the moment of its timer.
-- begun: taken once and not ended; at most one task of a session is.
CREATE TABLE tasks (
    n                 INTEGER PRIMARY KEY AUTOINCREMENT,
    id                BLOB    NOT NULL,
    last_seq          INTEGER NOT NULL,
    updated_us        INTEGER NOT NULL,
    epoch             INTEGER NOT NULL,
    lease_id          BLOB    NOT NULL,
    state             TEXT    NOT NULL,
    due_us            INTEGER,
    begun             INTEGER NOT NULL,
    tenant            TEXT    NOT NULL,
    session           TEXT    NOT NULL,
    agent             TEXT    NOT NULL,
    agent_version     TEXT    NOT NULL,
    goal              TEXT    NOT NULL,
    reason            TEXT    NOT NULL,
    queue             TEXT    NOT NULL,
    priority          INTEGER NOT NULL,
    not_before_us     INTEGER NOT NULL,
    node              BLOB    NOT NULL,
    incarnation       INTEGER NOT NULL,
    parent            BLOB    NOT NULL,
    dedupe            TEXT    NOT NULL,
    concurrency_key   TEXT    NOT NULL,
    concurrency_limit INTEGER NOT NULL,
    created_us        INTEGER NOT NULL
);
CREATE UNIQUE INDEX tasks_id ON tasks (id);
CREATE UNIQUE INDEX tasks_dedupe ON tasks (tenant, dedupe) WHERE dedupe <> '';
CREATE INDEX tasks_ready ON tasks (priority DESC, n) WHERE due_us = 0;
CREATE INDEX tasks_timers ON tasks (due_us) WHERE due_us > 0;
CREATE INDEX tasks_affine ON tasks (updated_us) WHERE due_us = 0 AND node <> x'';
CREATE INDEX tasks_held ON tasks (node) WHERE lease_id <> x'';
CREATE INDEX tasks_begun ON tasks (tenant, session) WHERE begun = 1 AND session <> '';
CREATE INDEX tasks_concurrency ON tasks (tenant, concurrency_key) WHERE lease_id <> x'' AND concurrency_key <> '';
CREATE INDEX tasks_parent ON tasks (parent) WHERE parent <> x'';
CREATE INDEX tasks_session ON tasks (session) WHERE session <> '';

-- Append-only; task is tasks.n. kind and phase are codes (docs/internals/journal-format.md).
CREATE TABLE entries (
    position INTEGER PRIMARY KEY,
    task     INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    phase    TEXT    NOT NULL,
    branch   TEXT    NOT NULL,
    at_us    INTEGER NOT NULL,
    body     BLOB    NOT NULL
);
CREATE UNIQUE INDEX entries_task ON entries (task, seq);

CREATE TABLE inbox (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    task     INTEGER NOT NULL,
    sender   TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    value    BLOB    NOT NULL,
    wakes    TEXT    NOT NULL,
    at_us    INTEGER NOT NULL,
    consumed INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX inbox_sender ON inbox (task, sender);
CREATE INDEX inbox_unread ON inbox (task, id) WHERE consumed = 0;

CREATE TABLE state (
    namespace TEXT    NOT NULL,
    key       TEXT    NOT NULL,
    version   INTEGER NOT NULL,
    value     BLOB    NOT NULL,
    PRIMARY KEY (namespace, key)
) WITHOUT ROWID;

-- codec: 0 as it is, 1 zstd. at_us: when it was last put, for the grace time of collection.
CREATE TABLE segments (
    tenant TEXT    NOT NULL,
    sha256 BLOB    NOT NULL,
    codec  INTEGER NOT NULL,
    at_us  INTEGER NOT NULL,
    data   BLOB    NOT NULL
);
CREATE UNIQUE INDEX segments_hash ON segments (tenant, sha256);

CREATE TABLE nodes (
    id              BLOB    PRIMARY KEY,
    lease_id        BLOB    NOT NULL,
    lease_until_us  INTEGER NOT NULL,
    host            TEXT    NOT NULL,
    pid             INTEGER NOT NULL,
    address         TEXT    NOT NULL,
    stop_generation INTEGER NOT NULL,
    alive           INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE leaves (
    idx      INTEGER PRIMARY KEY,
    position INTEGER NOT NULL,
    hash     BLOB    NOT NULL
);
