DROP TABLE thread_label;
ALTER TABLE message DROP COLUMN edited_at;
ALTER TABLE thread DROP COLUMN label;
