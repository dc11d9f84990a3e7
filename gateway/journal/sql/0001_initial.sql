-- Records on disk. A chunk is what one group commit wrote; its body is described in gateway/journal/record.py.
-- `first` is the smallest id the commit took, `last` the largest record in it: chunks never overlap.
CREATE TABLE chunk (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    written_ns INTEGER,           -- wall clock, ns since 1970 UTC; NULL while it wasn't trusted
    body BLOB NOT NULL
);

-- What the columns of stored records are, so that they outlive the configuration they were read under.
CREATE TABLE layout (
    key INTEGER PRIMARY KEY,      -- 63 bits of the layout's digest
    body BLOB NOT NULL            -- canonical JSON, zlib
);

-- How far each sink is: everything up to the watermark is settled, and some ranges ahead of it. SQLite has no checksums,
-- and a flipped bit here would lose records without a trace; zlib has one.
CREATE TABLE sink (
    name TEXT PRIMARY KEY,
    body BLOB NOT NULL            -- JSON, zlib: [name, watermark, [[first, last], …]]
) WITHOUT ROWID;

-- Records a sink refused, kept aside to be tried again.
CREATE TABLE refused (
    number INTEGER PRIMARY KEY,
    sink TEXT NOT NULL,
    source TEXT NOT NULL,
    id INTEGER NOT NULL,
    reason TEXT NOT NULL,
    positions TEXT,               -- JSON: positions in the record that were refused; NULL: all of them
    body BLOB NOT NULL            -- a chunk of one record
);
CREATE UNIQUE INDEX refused_by_source ON refused (sink, source, id);

-- What became of every value, per boot.
CREATE TABLE ledger (
    boot INTEGER PRIMARY KEY,
    body BLOB NOT NULL            -- JSON, zlib
);

CREATE TABLE state (
    key TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
