DROP FUNCTION attach, page_write, attachments_fault, page_may_write, person_may_write;
