-- Moves one side's marks forward, never back; the counts at the watermark come from side_no (P14).
-- lane: write
-- form: single
-- params: page_id int8, user_id int8, caller int8, least_role int2, side int2, delivered_seq int4, read_seq int4,
--   now_at timestamptz
-- columns: reason text, delivered_seq int4, read_seq int4, unread int4
WITH was AS MATERIALIZED (
	SELECT t.*, CASE
		WHEN $5 = 1 AND $2 <> $3 THEN 'THREAD_NOT_FOUND'
		WHEN $5 = 2 AND NOT EXISTS (SELECT FROM page_staff s WHERE s.page_id = $1 AND s.user_id = $3
			AND s.role >= $4) THEN 'THREAD_NOT_FOUND'
		WHEN greatest($6, $7) > t.last_seq THEN 'FIELD_INVALID' END AS reason,
		-- messages of the other side up to read_seq: the side_no of its last one there
		coalesce((SELECT m.side_no FROM message m WHERE m.page_id = $1 AND m.user_id = $2 AND m.seq <= $7
			AND m.side = 3 - $5 ORDER BY m.seq DESC LIMIT 1), 0) AS counted
	FROM thread t WHERE t.page_id = $1 AND t.user_id = $2
), now AS (
	UPDATE thread t SET
		person_delivered_seq = CASE WHEN $5 = 1 THEN greatest(t.person_delivered_seq, $6, $7) ELSE t.person_delivered_seq END,
		person_read_seq = CASE WHEN $5 = 1 THEN greatest(t.person_read_seq, $7) ELSE t.person_read_seq END,
		person_read_count = CASE WHEN $5 = 1 THEN greatest(t.person_read_count, w.counted) ELSE t.person_read_count END,
		page_delivered_seq = CASE WHEN $5 = 2 THEN greatest(t.page_delivered_seq, $6, $7) ELSE t.page_delivered_seq END,
		page_read_seq = CASE WHEN $5 = 2 THEN greatest(t.page_read_seq, $7) ELSE t.page_read_seq END,
		page_read_count = CASE WHEN $5 = 2 THEN greatest(t.page_read_count, w.counted) ELSE t.page_read_count END
	FROM was w WHERE w.reason IS NULL AND t.page_id = $1 AND t.user_id = $2
	RETURNING t.*
), tick AS (
	UPDATE page_clock c SET last_event = c.last_event + 1 FROM now
	WHERE c.page_id = $1 RETURNING c.last_event
), event AS (
	INSERT INTO page_event (page_id, event_number, kind, user_id, seq, at)
	SELECT $1, last_event, 2, $2, greatest($6, $7), $8 FROM tick
)
SELECT w.reason, CASE WHEN $5 = 1 THEN n.person_delivered_seq ELSE n.page_delivered_seq END AS delivered_seq,
	CASE WHEN $5 = 1 THEN n.person_read_seq ELSE n.page_read_seq END AS read_seq,
	CASE WHEN $5 = 1 THEN n.page_count - n.person_read_count ELSE n.person_count - n.page_read_count END AS unread
FROM was w LEFT JOIN now n ON true
