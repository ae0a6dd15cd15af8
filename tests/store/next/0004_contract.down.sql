ALTER TABLE page ADD COLUMN created_at timestamptz NOT NULL DEFAULT '2026-01-01';
