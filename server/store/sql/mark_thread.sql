-- Moves a side's marks forward, never back.  A message knows how many of its side there are up to it, and so its
-- number says how many of the other (P14).  What moves nothing is no event.
-- lane: write
-- form: set
-- thread: user_id
-- apart: user_id
-- params: page_id int8, user_id int8, caller int8, least_role int2, side int2, delivered_seq int4, read_seq int4,
--   now_at timestamptz
-- columns: reason text, delivered_seq int4, read_seq int4, unread int4, event_number int8
WITH judged AS MATERIALIZED (
	SELECT i.ord, i.page_id, i.user_id, i.side, i.now_at, p.last_event AS page_event, CASE
			WHEN i.side = 1 AND i.user_id <> i.caller OR i.side = 2 AND (s.role >= i.least_role) IS NOT TRUE
				THEN 'THREAD_NOT_FOUND'
			WHEN greatest(i.delivered_seq, i.read_seq) > t.last_seq THEN 'FIELD_INVALID' END AS reason,
		greatest(i.delivered_seq, i.read_seq) AS to_delivered, i.read_seq AS to_read,
		CASE WHEN m.side = i.side THEN m.seq - m.side_no ELSE coalesce(m.side_no, 0) END AS to_count,
		CASE i.side WHEN 1 THEN t.person_delivered_seq ELSE t.page_delivered_seq END AS was_delivered,
		CASE i.side WHEN 1 THEN t.person_read_seq ELSE t.page_read_seq END AS was_read,
		CASE i.side WHEN 1 THEN t.person_read_count ELSE t.page_read_count END AS was_count,
		CASE i.side WHEN 1 THEN t.page_count ELSE t.person_count END AS others
	FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) WITH ORDINALITY
		AS i(page_id, user_id, caller, least_role, side, delivered_seq, read_seq, now_at, ord)
	JOIN page p ON p.page_id = i.page_id
	JOIN thread t ON t.page_id = i.page_id AND t.user_id = i.user_id AND t.last_seq > 0
	LEFT JOIN page_staff s ON s.page_id = i.page_id AND s.user_id = i.caller
	LEFT JOIN message m ON m.page_id = i.page_id AND m.user_id = i.user_id AND m.seq = i.read_seq
), numbered AS MATERIALIZED (
	SELECT *, reason IS NULL AND (to_delivered > was_delivered OR to_read > was_read) AS moves,
		page_event + row_number() OVER on_page AS event_number, lead(false, 1, true) OVER on_page AS last_on_page
	FROM judged
	WINDOW on_page AS (PARTITION BY page_id, reason IS NULL AND (to_delivered > was_delivered OR to_read > was_read)
		ORDER BY ord)
), clock AS ( -- NULL, and so an error: somebody wrote to the page without its lock
	UPDATE page p SET last_event = CASE p.last_event WHEN n.page_event THEN n.event_number END
	FROM numbered n WHERE n.moves AND n.last_on_page AND p.page_id = n.page_id
), person AS (
	UPDATE thread t SET person_delivered_seq = greatest(n.to_delivered, n.was_delivered),
		person_read_seq = greatest(n.to_read, n.was_read), person_read_count = greatest(n.to_count, n.was_count)
	FROM numbered n WHERE n.moves AND n.side = 1 AND t.page_id = n.page_id AND t.user_id = n.user_id
), staff AS (
	UPDATE thread t SET page_delivered_seq = greatest(n.to_delivered, n.was_delivered),
		page_read_seq = greatest(n.to_read, n.was_read), page_read_count = greatest(n.to_count, n.was_count)
	FROM numbered n WHERE n.moves AND n.side = 2 AND t.page_id = n.page_id AND t.user_id = n.user_id
), event AS (
	INSERT INTO page_event (page_id, event_number, kind, user_id, side, seq, delivered_seq, unread, at)
	SELECT page_id, event_number, 2, user_id, side, greatest(to_read, was_read), greatest(to_delivered, was_delivered),
		others - greatest(to_count, was_count), now_at
	FROM numbered WHERE moves
)
SELECT ord::int, reason, greatest(to_delivered, was_delivered) AS delivered_seq, greatest(to_read, was_read) AS read_seq,
	others - greatest(to_count, was_count) AS unread, CASE WHEN moves THEN event_number END AS event_number
FROM numbered ORDER BY ord
