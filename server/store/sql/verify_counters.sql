-- Recounts a page's counters from its messages; the differences are none, ever (P14).
-- lane: read
-- form: single
-- params: page_id int8, caller int8, least_role int2
-- columns: reason text, threads int8, user_id int8, counter text, stored int8, counted int8
WITH access AS MATERIALIZED (
	SELECT CASE WHEN $3 = 0 THEN CASE WHEN EXISTS (SELECT FROM page WHERE page_id = $1) THEN NULL ELSE 'PAGE_NOT_FOUND' END
		ELSE CASE (SELECT role >= $3 FROM page_staff WHERE page_id = $1 AND user_id = $2)
			WHEN true THEN NULL WHEN false THEN 'ROLE_REQUIRED' ELSE 'PAGE_NOT_FOUND' END END AS reason
), counted AS (
	SELECT t.user_id, t.last_seq, t.person_count, t.page_count, t.person_read_count, t.page_read_count,
		count(m.seq) AS n, coalesce(max(m.seq), 0) AS top, count(m.seq) FILTER (WHERE m.side = 1) AS person_n,
		count(m.seq) FILTER (WHERE m.side = 2) AS page_n,
		count(m.seq) FILTER (WHERE m.side = 2 AND m.seq <= t.person_read_seq) AS person_read_n,
		count(m.seq) FILTER (WHERE m.side = 1 AND m.seq <= t.page_read_seq) AS page_read_n
	FROM access a JOIN thread t ON a.reason IS NULL AND t.page_id = $1 AND t.last_seq > 0
	LEFT JOIN message m ON m.page_id = t.page_id AND m.user_id = t.user_id
	GROUP BY t.page_id, t.user_id
), difference AS (
	SELECT c.user_id, d.* FROM counted c CROSS JOIN LATERAL (VALUES
		('last_seq', c.last_seq::bigint, c.n), ('last_seq', c.last_seq::bigint, c.top::bigint),
		('person_count', c.person_count::bigint, c.person_n), ('page_count', c.page_count::bigint, c.page_n),
		('person_read_count', c.person_read_count::bigint, c.person_read_n),
		('page_read_count', c.page_read_count::bigint, c.page_read_n)) AS d(counter, stored, counted)
	WHERE d.stored <> d.counted
	UNION ALL
	SELECT 0, 'last_event', k.last_event, k.first_event - 1 + e.n FROM access a JOIN page k ON a.reason IS NULL AND k.page_id = $1
	CROSS JOIN LATERAL (SELECT (SELECT count(*) FROM message WHERE page_id = $1 AND event_number >= k.first_event)
		+ (SELECT count(*) FROM page_event WHERE page_id = $1) AS n) e
	WHERE k.last_event <> k.first_event - 1 + e.n
	LIMIT 100
)
SELECT a.reason, (SELECT count(*) FROM counted) AS threads, d.user_id, d.counter, d.stored, d.counted
FROM access a LEFT JOIN difference d ON true
