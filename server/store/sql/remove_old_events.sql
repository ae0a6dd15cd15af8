-- Lets go of a page's oldest events, up to the first that is not from before: watches further behind get a resync
-- (P17).  A message that was such an event stays.  `removed` n: there may be more.
-- lane: write
-- form: single
-- params: page_id int8, before timestamptz, n int8
-- columns: reason text, removed int8
WITH old AS MATERIALIZED (
	SELECT e.event_number, bool_and(e.at < $2) OVER (ORDER BY e.event_number) AS goes
	FROM page p CROSS JOIN LATERAL (
		(SELECT m.event_number, m.sent_at AS at FROM message m
		WHERE m.page_id = $1 AND m.event_number >= p.first_event ORDER BY m.event_number LIMIT $3)
		UNION ALL
		(SELECT v.event_number, v.at FROM page_event v
		WHERE v.page_id = $1 AND v.event_number >= p.first_event ORDER BY v.event_number LIMIT $3)
		ORDER BY event_number LIMIT $3) e
	WHERE p.page_id = $1
), range AS MATERIALIZED (
	SELECT min(event_number) AS first, max(event_number) AS last, count(*) AS n FROM old WHERE goes
), moved AS (
	UPDATE page p SET first_event = r.last + 1 FROM range r WHERE p.page_id = $1 AND r.n > 0
), gone AS (
	DELETE FROM page_event WHERE page_id = $1 AND event_number BETWEEN (SELECT first FROM range) AND (SELECT last FROM range)
)
SELECT NULL::text AS reason, n AS removed FROM range
