-- What hints should have told: how far pages are, and which pages persons have threads with.  P17.
-- lane: read
-- form: single
-- params: pages text, persons text ('{1,2,3}' each)
-- columns: user_id int8 (of a thread; NULL: of a page), page_id int8, last_event int8
SELECT NULL::bigint AS user_id, p.page_id, p.last_event FROM page p WHERE p.page_id = ANY ($1::text::bigint[])
UNION ALL
SELECT m.user_id, m.page_id, p.last_event
FROM person_thread m JOIN page p ON p.page_id = m.page_id WHERE m.user_id = ANY ($2::text::bigint[])
