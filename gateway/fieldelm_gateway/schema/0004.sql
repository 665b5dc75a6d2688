-- what each radio has transmitted, by the minute: 61 rows a radio that are used in turn
CREATE TABLE airtime (
    radio TEXT NOT NULL,
    slot INTEGER NOT NULL,                  -- 0 to 60
    minute INTEGER NOT NULL,                -- since 1970
    synced INTEGER NOT NULL,                -- 1: the clock could be trusted
    airtime_us INTEGER NOT NULL,
    PRIMARY KEY (radio, slot)
) STRICT, WITHOUT ROWID;
