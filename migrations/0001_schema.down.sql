DROP FUNCTION message_items, inbox_lag, reply_until, replies_left, private_reply_refusal, reply_refusal, send_refusal;
DROP TABLE message_attachment, attachment_chunk, attachment, page_event, message, person_thread, thread, wall_entry,
	page_staff, page_settings, page;
