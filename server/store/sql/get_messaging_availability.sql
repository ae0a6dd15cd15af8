-- Whether a person may write to a page, by the rule that the sends enforce, and the page's limits.  P3, P8.
-- lane: read
-- form: single
-- params: page_id int8, user_id int8
-- columns: reason text, refusal text, max_text_chars int4, max_attachment_bytes int8
SELECT NULL::text AS reason, person_may_write($1, $2) AS refusal, max_text_chars, max_attachment_bytes
FROM page WHERE page_id = $1;
