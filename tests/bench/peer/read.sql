-- The newest 20 messages of a thread.
\set page random(1, :pages)
\set person random(1, :threads)
SELECT seq, side, sender_id, body, sent_at, settings_version, unsent, event_number, wall_entry_id, wall_kind, wall_body,
	wall_posted_at, n_attachments
FROM message WHERE page_id = :page AND user_id = :person ORDER BY seq DESC LIMIT 20;
