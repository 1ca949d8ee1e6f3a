-- +goose Up
CREATE TABLE notices (
  id      TEXT    PRIMARY KEY,
  project TEXT    NOT NULL,
  at      INTEGER NOT NULL, -- microseconds since 1970
  topic   TEXT    NOT NULL,
  outcome TEXT    NOT NULL, -- empty while it waits
  record  TEXT    NOT NULL  -- JSON
) WITHOUT ROWID;
CREATE INDEX notices_by_project ON notices (project, at, id);
CREATE INDEX notices_by_outcome ON notices (outcome, at, id);

-- +goose Down
DROP TABLE notices;
