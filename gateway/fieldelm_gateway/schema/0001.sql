-- Times are milliseconds since 1970, UTC.

CREATE TABLE node (
    id INTEGER PRIMARY KEY,
    eui TEXT NOT NULL UNIQUE,               -- 16 hex digits
    node_id INTEGER NOT NULL UNIQUE CHECK (node_id BETWEEN 1 AND 65535),
    name TEXT NOT NULL UNIQUE,              -- the asset it watches
    location TEXT NOT NULL DEFAULT '',
    tag_bytes INTEGER NOT NULL DEFAULT 4 CHECK (tag_bytes IN (4, 8)),
    created_ms INTEGER NOT NULL,
    last_seen_ms INTEGER,
    -- what the last HELLO told; NULL until the first
    boots INTEGER NOT NULL DEFAULT 0,       -- boot events
    firmware TEXT,
    boot_cause TEXT,
    policy TEXT,
    kernels TEXT,
    heartbeat_s INTEGER,
    window_period_s INTEGER,
    bands INTEGER,
    band_low_hz REAL,
    band_high_hz REAL,
    -- the newest STATUS
    status_key_id INTEGER,
    status_counter INTEGER,
    status_document TEXT,
    last_command_sequence INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE node_key (
    node INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    key_id INTEGER NOT NULL CHECK (key_id IN (0, 1)),
    key BLOB NOT NULL CHECK (length(key) = 16),
    highest INTEGER,                        -- highest frame counter accepted; NULL: none yet
    seen INTEGER NOT NULL DEFAULT 0,        -- bit i: counter highest - i was accepted (two's complement)
    last_sequence INTEGER,                  -- highest event sequence, 32 bits
    PRIMARY KEY (node, key_id)
) STRICT, WITHOUT ROWID;

-- every frame that was accepted
CREATE TABLE frame (
    id INTEGER PRIMARY KEY,
    node INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    received_ms INTEGER NOT NULL,
    synced INTEGER NOT NULL,                -- 1: the gateway's clock could be trusted
    radio TEXT NOT NULL,
    type INTEGER NOT NULL,
    key_id INTEGER NOT NULL,
    counter INTEGER NOT NULL,
    rssi INTEGER NOT NULL,                  -- dBm
    snr REAL NOT NULL,                      -- dB
    payload BLOB NOT NULL,                  -- plain
    outcome TEXT NOT NULL                   -- accepted, duplicate (event known already), bad_payload
) STRICT;
CREATE INDEX frame_of_node ON frame (node, received_ms);

CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    node INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    key_check TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    event_ms INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    type TEXT NOT NULL,
    severity TEXT NOT NULL,
    document TEXT NOT NULL,                 -- as published
    UNIQUE (node, key_check, sequence)
) STRICT;
CREATE INDEX event_by_time ON event (event_ms);

-- messages that the broker has not confirmed; numbers are never used twice, since the publisher asks for those after the last
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    lane INTEGER NOT NULL,                  -- 0: events, 1: the rest
    topic TEXT NOT NULL,
    payload TEXT NOT NULL,
    retain INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_by_lane ON outbox (lane, id);

CREATE TABLE command (
    id INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL UNIQUE,
    node INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    command TEXT NOT NULL,
    arguments TEXT NOT NULL,                -- JSON: name to integer
    sequence INTEGER NOT NULL,              -- 16 bits, of this node
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'waiting',  -- waiting, done (see result), expired
    result TEXT,
    finished_ms INTEGER
) STRICT;
CREATE INDEX command_waiting ON command (node, id) WHERE state = 'waiting';
