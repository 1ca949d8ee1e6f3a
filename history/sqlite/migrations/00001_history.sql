-- +goose Up
CREATE TABLE promotions (
  uid          TEXT    PRIMARY KEY,
  project      TEXT    NOT NULL,
  stage        TEXT    NOT NULL,
  name         TEXT    NOT NULL,
  seq          INTEGER NOT NULL,
  kind         TEXT    NOT NULL,
  freight      TEXT    NOT NULL,
  phase        TEXT    NOT NULL,
  requested_by TEXT    NOT NULL,
  created_at   INTEGER NOT NULL, -- microseconds since 1970
  digest       TEXT    NOT NULL,
  record       TEXT    NOT NULL  -- JSON, without its steps
) WITHOUT ROWID;
CREATE INDEX promotions_by_project ON promotions (project, created_at, seq, name, uid);
CREATE INDEX promotions_by_stage   ON promotions (project, stage, created_at, seq, name, uid);
CREATE INDEX promotions_by_name    ON promotions (project, name, created_at);

CREATE TABLE steps (
  uid         TEXT    NOT NULL REFERENCES promotions (uid) ON DELETE CASCADE,
  step        TEXT    NOT NULL,
  attempt     INTEGER NOT NULL,
  position    INTEGER NOT NULL,
  uses        TEXT    NOT NULL,
  state       TEXT    NOT NULL,
  message     TEXT    NOT NULL,
  started_at  INTEGER,
  finished_at INTEGER,
  PRIMARY KEY (uid, step, attempt)
) WITHOUT ROWID;

CREATE TABLE entries (
  key     TEXT    PRIMARY KEY,
  at      INTEGER NOT NULL, -- microseconds since 1970
  project TEXT    NOT NULL,
  stage   TEXT    NOT NULL,
  freight TEXT    NOT NULL, -- names with a space on both sides
  action  TEXT    NOT NULL,
  actor   TEXT    NOT NULL,
  object  TEXT    NOT NULL, -- UID
  ends    INTEGER NOT NULL,
  record  TEXT    NOT NULL  -- JSON
) WITHOUT ROWID;
CREATE INDEX entries_by_time    ON entries (at, key);
CREATE INDEX entries_by_project ON entries (project, at, key);
CREATE INDEX entries_by_object  ON entries (object, ends);

-- +goose Down
DROP TABLE entries;
DROP TABLE steps;
DROP TABLE promotions;
