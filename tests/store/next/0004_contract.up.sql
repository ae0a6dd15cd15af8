-- Contracts: a server that does not know of this one would miss the column.
ALTER TABLE page DROP COLUMN created_at;
