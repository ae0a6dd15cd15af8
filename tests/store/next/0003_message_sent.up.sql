-- servers: 1
-- transaction: none
ALTER TABLE message VALIDATE CONSTRAINT edited_later;
CREATE INDEX CONCURRENTLY IF NOT EXISTS message_sent
	ON message (page_id, sent_at);
