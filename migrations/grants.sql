-- What a server may do, by the role aside_app: all that its statements need, and nothing else.  Given after every
-- `migrate up`; a login for servers is made with CREATE ROLE ... LOGIN IN ROLE aside_app.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM aside_app;
GRANT SELECT ON aside_migration, page, page_settings, page_staff, wall_entry, thread, person_thread, message, page_event,
	attachment, attachment_chunk, message_attachment TO aside_app;
GRANT INSERT ON page, page_settings, page_staff, wall_entry, thread, person_thread, message, page_event,
	attachment, attachment_chunk, message_attachment TO aside_app;
GRANT UPDATE (last_event, first_event, first_message, settings_version, messaging_enabled, max_text_chars, max_attachment_bytes, reply_window_seconds,
	reply_budget, private_reply_window_seconds) ON page TO aside_app;
GRANT UPDATE (role) ON page_staff TO aside_app;
GRANT UPDATE (removed_at) ON wall_entry TO aside_app;
GRANT UPDATE (last_event, inbox_event, last_sent_at, last_person_at, last_seq, first_seq, person_count, page_count, page_run,
	person_delivered_seq, person_read_seq, person_read_count, page_delivered_seq, page_read_seq, page_read_count,
	by_private_reply, blocked_by_person, blocked_by_page) ON thread TO aside_app;
GRANT UPDATE (completed_at, media_type, user_id, seq) ON attachment TO aside_app;
GRANT UPDATE (body, wall_body) ON message TO aside_app; -- retention empties them
GRANT DELETE ON page_staff, page_event, message_attachment, attachment, attachment_chunk TO aside_app;
