DROP TABLE message_attachment, attachment_chunk, attachment, block, page_event, message, person_thread,
	inbox, thread, wall_entry, page_staff, page_settings, page_clock, page;
