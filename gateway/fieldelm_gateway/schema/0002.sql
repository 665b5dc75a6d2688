-- what maintenance knows and does, and averages of the log

ALTER TABLE node ADD COLUMN shaft_hz REAL;        -- speed of the machine's shaft, where it is known
ALTER TABLE node ADD COLUMN alarm_document TEXT;  -- state of the node's alarm

-- requests from programs beside the running gateway, such as `fieldelm node`
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    command TEXT NOT NULL,
    payload BLOB NOT NULL,
    answer TEXT                             -- NULL: waits for the gateway
) STRICT;

-- what people did: who, when, by which way
CREATE TABLE maintenance (
    id INTEGER PRIMARY KEY,
    node INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    request_id TEXT NOT NULL,
    done_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    via TEXT NOT NULL,                      -- mqtt, dashboard, …
    action TEXT NOT NULL,
    event_id TEXT,                          -- the alarm it was about
    document TEXT NOT NULL                  -- as published
) STRICT;
CREATE INDEX maintenance_of_node ON maintenance (node, done_ms);
CREATE INDEX maintenance_request ON maintenance (request_id);

-- averages of STATUS by the hour and by the day
CREATE TABLE history (
    node INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    span_s INTEGER NOT NULL,                -- 3600 or 86400
    start_ms INTEGER NOT NULL,
    count INTEGER NOT NULL,
    ratio_min REAL NOT NULL,                -- score / threshold
    ratio_mean REAL NOT NULL,
    ratio_max REAL NOT NULL,
    rms_g REAL NOT NULL,
    rms_velocity REAL NOT NULL,             -- mm/s
    battery_mv INTEGER,
    temperature_c REAL,
    rssi REAL NOT NULL,
    snr REAL NOT NULL,
    state INTEGER NOT NULL,                 -- the gravest: see codes.STATES
    PRIMARY KEY (node, span_s, start_ms)
) STRICT, WITHOUT ROWID;

CREATE INDEX history_by_time ON history (span_s, start_ms);
CREATE INDEX event_received ON event (received_ms);
CREATE INDEX maintenance_by_time ON maintenance (done_ms);
CREATE INDEX frame_by_time ON frame (received_ms);
CREATE INDEX command_finished ON command (finished_ms) WHERE state <> 'waiting';
