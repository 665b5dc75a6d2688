-- commands that change a node's keys, tags and thresholds; what a gateway must know of itself

ALTER TABLE node ADD COLUMN threshold_factor REAL;
ALTER TABLE node ADD COLUMN output_power INTEGER;      -- dBm
ALTER TABLE node ADD COLUMN trace_document TEXT;       -- the newest, as published
ALTER TABLE node ADD COLUMN tag_next INTEGER;          -- the other length, while a command may have changed it; else NULL

-- 1: the node was asked to change to it, and no frame under it has been heard yet
ALTER TABLE node_key ADD COLUMN pending INTEGER NOT NULL DEFAULT 0;
-- check value of the key that the node was provisioned with, which names its events; NULL: this key's own
ALTER TABLE node_key ADD COLUMN origin TEXT;

ALTER TABLE command ADD COLUMN answer TEXT;            -- JSON: what the node said beside the result

-- number: under which this database's gateway answers; spent: numbers, JSON, that it must not answer under any more
CREATE TABLE setting (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
