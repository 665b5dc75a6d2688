-- copies of what nodes have learned; they stay when a node is removed, since another one may replace it
CREATE TABLE model (
    model INTEGER PRIMARY KEY,              -- CRC-32 of the whole
    node INTEGER REFERENCES node (id) ON DELETE SET NULL,
    eui TEXT NOT NULL,                      -- of the node that learned it
    name TEXT NOT NULL,                     -- of that node
    total INTEGER NOT NULL,                 -- bytes of the whole
    data BLOB NOT NULL,                     -- what has come so far, from its beginning
    begun_ms INTEGER NOT NULL,
    heard_ms INTEGER NOT NULL,              -- its newest fragment
    reminders INTEGER NOT NULL DEFAULT 0    -- how often the node was asked for the rest
) STRICT;
CREATE INDEX model_of_node ON model (node);
