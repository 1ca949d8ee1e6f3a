-- +goose Up
CREATE TABLE notices (
  id      text COLLATE "C" PRIMARY KEY,
  project text COLLATE "C" NOT NULL,
  at      timestamptz      NOT NULL,
  topic   text COLLATE "C" NOT NULL,
  outcome text             NOT NULL, -- empty while it waits
  record  jsonb            NOT NULL
);
CREATE INDEX notices_by_project ON notices (project, at, id);
CREATE INDEX notices_by_outcome ON notices (outcome, at, id);

-- +goose Down
DROP TABLE notices;
