-- +goose Up
-- Names compare by their bytes, so that a cursor means the same everywhere.
CREATE TABLE promotions (
  uid          text COLLATE "C" PRIMARY KEY,
  project      text COLLATE "C" NOT NULL,
  stage        text COLLATE "C" NOT NULL,
  name         text COLLATE "C" NOT NULL,
  seq          bigint           NOT NULL,
  kind         text             NOT NULL,
  freight      text             NOT NULL,
  phase        text             NOT NULL,
  requested_by text             NOT NULL,
  created_at   timestamptz      NOT NULL,
  digest       text             NOT NULL,
  record       jsonb            NOT NULL -- without its steps
);
CREATE INDEX promotions_by_project ON promotions (project, created_at, seq, name, uid);
CREATE INDEX promotions_by_stage   ON promotions (project, stage, created_at, seq, name, uid);
CREATE INDEX promotions_by_name    ON promotions (project, name, created_at);

CREATE TABLE steps (
  uid         text COLLATE "C" NOT NULL REFERENCES promotions (uid) ON DELETE CASCADE,
  step        text COLLATE "C" NOT NULL,
  attempt     integer          NOT NULL,
  position    integer          NOT NULL,
  uses        text             NOT NULL,
  state       text             NOT NULL,
  message     text             NOT NULL,
  started_at  timestamptz,
  finished_at timestamptz,
  PRIMARY KEY (uid, step, attempt)
);

CREATE TABLE entries (
  key     text COLLATE "C" PRIMARY KEY,
  at      timestamptz      NOT NULL,
  project text COLLATE "C" NOT NULL,
  stage   text             NOT NULL,
  freight text             NOT NULL, -- names with a space on both sides
  action  text             NOT NULL,
  actor   text             NOT NULL,
  object  text COLLATE "C" NOT NULL, -- UID
  ends    boolean          NOT NULL,
  record  jsonb            NOT NULL
);
CREATE INDEX entries_by_time    ON entries (at, key);
CREATE INDEX entries_by_project ON entries (project, at, key);
CREATE INDEX entries_by_object  ON entries (object, ends);

-- +goose Down
DROP TABLE entries;
DROP TABLE steps;
DROP TABLE promotions;
