-- The books of the change engine inside a PostgreSQL database: who holds which table, how far each run is, and what
-- became of every change. They are made in the first schema of the search path, as ops_lineage is, by the driver when
-- a run begins or by change_functions.sql. Outcomes can hold rows of user tables: nobody else may read them.
CREATE TABLE IF NOT EXISTS ops_change_runs (
    plan text NOT NULL,                 -- the plan's full digest
    direction text NOT NULL,            -- apply, rollback, rollback-2, ...
    table_name text NOT NULL,           -- schema.name
    owner text,                         -- the process that holds the table; NULL when nobody does
    lease_until timestamptz,            -- after this another run may take the table
    next bigint NOT NULL,               -- the first position that has no outcome
    state text NOT NULL CHECK (state IN ('open', 'closed')),
    started_at timestamptz NOT NULL,
    PRIMARY KEY (plan, direction)
);
CREATE TABLE IF NOT EXISTS ops_change_batches (
    plan text NOT NULL,
    direction text NOT NULL,
    first bigint NOT NULL,              -- position of the batch's first change
    rows bigint NOT NULL,               -- changes in the batch
    outcomes json NOT NULL,             -- what became of each, in the writer's own form
    at timestamptz NOT NULL,
    PRIMARY KEY (plan, direction, first)
);
REVOKE ALL ON ops_change_runs, ops_change_batches FROM PUBLIC;
