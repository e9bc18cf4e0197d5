-- What a prediction rests on, taken when it is made: files change, and a prediction can then not be made again from the
-- names of its deliverables. Events from before have none, and none is made up for them.
--
-- The name is quoted because a rebuild of the table (0002 may be applied again) writes it so: one schema, one text.

ALTER TABLE token_estimation_v2_events ADD COLUMN IF NOT EXISTS "features_json" TEXT;
