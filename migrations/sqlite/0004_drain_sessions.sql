-- What a session needs to give back what it took, and to say why an attempt yielded nothing.

-- The state that a phase was claimed from: a lease that ends without an account restores it.
ALTER TABLE phase_leases ADD COLUMN IF NOT EXISTS prior_state TEXT;

-- Why an attempt yielded no event, from a closed list; NULL when it yielded one, or when nobody derived it then.
ALTER TABLE phase_attempts ADD COLUMN IF NOT EXISTS zero_yield TEXT;
-- How far it came, as it was recorded: a JSON object.
ALTER TABLE phase_attempts ADD COLUMN IF NOT EXISTS milestones TEXT;
-- What identifies its failure: short name, version of the normaliser, and template with parameters as JSON. The raw
-- text is in `detail`.
ALTER TABLE phase_attempts ADD COLUMN IF NOT EXISTS fingerprint TEXT;
ALTER TABLE phase_attempts ADD COLUMN IF NOT EXISTS fingerprint_version INTEGER;
ALTER TABLE phase_attempts ADD COLUMN IF NOT EXISTS fingerprint_detail TEXT;
