-- A history beside what the database holds in the end; the view `violation` is empty, or something is wrong.
--
-- The tables are taken over without their constraints: nothing is true here only because PostgreSQL would have
-- refused the opposite, and a test of these rules can break each of them.

CREATE TEMP TABLE attempt (kind text, side smallint, page_id bigint, user_id bigint, client_key uuid, body text,
	asked_seq bigint, began bigint, ended bigint, code int, reason text, seq bigint);
CREATE TEMP TABLE watched (watcher int, page_id bigint, event_number bigint, told_number bigint, kind text,
	user_id bigint, side smallint, seq bigint, unread bigint, body text);
\copy attempts.tsv attempt
\copy watched.tsv watched

CREATE TEMP TABLE checked AS SELECT DISTINCT page_id FROM attempt;
CREATE TEMP TABLE page AS SELECT * FROM public.page JOIN checked USING (page_id);
CREATE TEMP TABLE thread AS SELECT * FROM public.thread JOIN checked USING (page_id);
CREATE TEMP TABLE person_thread AS SELECT * FROM public.person_thread JOIN checked USING (page_id);
CREATE TEMP TABLE message AS SELECT * FROM public.message JOIN checked USING (page_id);
CREATE TEMP TABLE page_event AS SELECT * FROM public.page_event JOIN checked USING (page_id);
ANALYZE attempt, watched, page, thread, person_thread, message, page_event;

-- What was to be sent: any number of attempts under one key.
CREATE TEMP VIEW sent AS
SELECT client_key, page_id, user_id, side, body, min(began) AS began, min(ended) FILTER (WHERE code = 0) AS ended
FROM attempt WHERE kind = 'send' GROUP BY client_key, page_id, user_id, side, body;

CREATE TEMP VIEW event AS
SELECT page_id, event_number, 'message' AS kind, user_id, side, seq, 0 AS unread, body FROM message
UNION ALL
SELECT page_id, event_number, CASE kind WHEN 2 THEN 'marks' ELSE 'other' END, coalesce(user_id, 0), coalesce(side, 0),
	coalesce(seq, 0), coalesce(unread, 0), '' FROM page_event;

-- How many each side has written up to a message.
CREATE TEMP VIEW counted AS
SELECT page_id, user_id, seq, event_number, side, side_no, body, count(*) FILTER (WHERE side = 1) OVER up_to AS persons,
	count(*) FILTER (WHERE side = 2) OVER up_to AS pages
FROM message WINDOW up_to AS (PARTITION BY page_id, user_id ORDER BY seq);

-- A mark, and the newest message at its moment.
CREATE TEMP VIEW mark AS
SELECT * FROM (SELECT *, max(seq) FILTER (WHERE kind = 'message') OVER (PARTITION BY page_id, user_id ORDER BY event_number) AS newest
	FROM event WHERE user_id > 0) e WHERE kind = 'marks';

-- By thread, what the messages say its counters are.
CREATE TEMP VIEW recount AS
SELECT t.page_id, t.user_id, coalesce(max(m.seq), 0) AS last_seq, coalesce(max(m.event_number), 0) AS last_event,
	count(*) FILTER (WHERE m.side = 1) AS person_count, count(*) FILTER (WHERE m.side = 2) AS page_count,
	count(*) FILTER (WHERE m.side = 2 AND m.seq <= t.person_read_seq) AS person_read_count,
	count(*) FILTER (WHERE m.side = 1 AND m.seq <= t.page_read_seq) AS page_read_count,
	count(*) FILTER (WHERE m.side = 2 AND m.seq > coalesce(p.last_seq, 0)) AS page_run
FROM thread t LEFT JOIN message m USING (page_id, user_id)
LEFT JOIN (SELECT page_id, user_id, max(seq) AS last_seq FROM message WHERE side = 1 GROUP BY page_id, user_id) p USING (page_id, user_id)
GROUP BY t.page_id, t.user_id;

CREATE TEMP VIEW violation AS
-- Acknowledged, and not there.
SELECT 'lost' AS rule, page_id, user_id, format('%s, acknowledged as %s', body, seq) AS what FROM attempt a
WHERE kind = 'send' AND code = 0 AND (page_id, client_key) NOT IN (SELECT page_id, client_key FROM message)
UNION ALL
-- There under another number than the answer's: two answers for one key are never both right.
SELECT 'answer', a.page_id, a.user_id, format('%s is %s, acknowledged as %s', a.body, m.seq, a.seq)
FROM attempt a JOIN message m USING (page_id, client_key) WHERE a.kind = 'send' AND a.code = 0 AND a.seq <> m.seq
UNION ALL
SELECT 'twice', page_id, min(user_id), format('%s, %s times', min(body), count(*))
FROM message GROUP BY page_id, sender_id, client_key HAVING count(*) > 1
UNION ALL
-- Nobody sent this, or not so.
SELECT 'thin_air', m.page_id, m.user_id, format('%s, number %s', m.body, m.seq)
FROM message m LEFT JOIN sent s USING (page_id, client_key)
WHERE s.client_key IS NULL OR (s.user_id, s.side, s.body) IS DISTINCT FROM (m.user_id, m.side, m.body)
UNION ALL
SELECT 'seq', page_id, user_id, format('%s messages numbered %s to %s', count(*), min(seq), max(seq))
FROM message GROUP BY page_id, user_id HAVING min(seq) <> 1 OR max(seq) <> count(*) OR count(DISTINCT seq) <> count(*)
UNION ALL
SELECT 'event', page_id, 0, format('%s events numbered %s to %s, the page says %s', count(*), min(event_number),
	max(event_number), min(p.last_event))
FROM event e JOIN page p USING (page_id) GROUP BY page_id
HAVING min(event_number) <> 1 OR max(event_number) <> count(*) OR count(DISTINCT event_number) <> count(*)
	OR max(event_number) <> min(p.last_event)
UNION ALL
-- Numbers in the thread and on the page are both in the order of commit.
SELECT 'commit_order', page_id, user_id, format('number %s is event %s, after %s', seq, event_number, before)
FROM (SELECT *, lag(event_number) OVER (PARTITION BY page_id, user_id ORDER BY seq) AS before FROM message) m
WHERE event_number < before
UNION ALL
-- Acknowledged before another was begun, and yet behind it.
SELECT 'real_time', page_id, user_id, format('%s was begun at %s, after one behind it had ended at %s', body, began, earliest)
FROM (SELECT m.page_id, m.user_id, m.body, s.began, min(s.ended) OVER (PARTITION BY m.page_id ORDER BY m.event_number DESC
		ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earliest
	FROM message m JOIN sent s USING (page_id, client_key)) m
WHERE earliest < began
UNION ALL
SELECT 'counter', t.page_id, t.user_id, format('%s is %s and must be %s', c.name, c.stored, c.counted)
FROM thread t JOIN recount r USING (page_id, user_id) CROSS JOIN LATERAL (VALUES
	('last_seq', t.last_seq::bigint, r.last_seq::bigint), ('last_event', t.last_event, r.last_event),
	('person_count', t.person_count, r.person_count), ('page_count', t.page_count, r.page_count),
	('person_read_count', t.person_read_count, r.person_read_count),
	('page_read_count', t.page_read_count, r.page_read_count), ('page_run', t.page_run, r.page_run)) AS c(name, stored, counted)
WHERE c.stored <> c.counted
UNION ALL
SELECT 'counter', page_id, user_id, format('side_no of number %s is %s', seq, side_no)
FROM counted WHERE side_no <> CASE side WHEN 1 THEN persons ELSE pages END
UNION ALL
-- Threads, and the person's list of them.
SELECT 'counter', page_id, user_id, 'of thread, its messages and person_thread not all are there'
FROM (SELECT page_id, user_id FROM thread WHERE last_seq > 0) t FULL JOIN person_thread l USING (page_id, user_id)
FULL JOIN (SELECT DISTINCT page_id, user_id, true AS there FROM message) m USING (page_id, user_id)
WHERE num_nonnulls(t, l, m.there) < 3
UNION ALL
-- A mark never goes back, nor further than somebody asked for.
SELECT 'mark', t.page_id, t.user_id, format('side %s: acknowledged up to %s, asked for up to %s, stands at %s',
	a.side, a.acknowledged, a.asked, x.stands)
FROM thread t JOIN (SELECT page_id, user_id, side, max(asked_seq) AS asked, max(seq) FILTER (WHERE code = 0) AS acknowledged,
		bool_or(code = 0 AND seq < asked_seq) AS short
	FROM attempt WHERE kind = 'mark' GROUP BY page_id, user_id, side) a USING (page_id, user_id)
CROSS JOIN LATERAL (SELECT CASE a.side WHEN 1 THEN t.person_read_seq ELSE t.page_read_seq END AS stands) x
WHERE a.acknowledged > x.stands OR x.stands > a.asked OR a.short
UNION ALL
-- What a mark leaves unread is right at its very moment.
SELECT 'unread', k.page_id, k.user_id, format('event %s says %s', k.event_number, k.unread)
FROM mark k LEFT JOIN counted n ON n.page_id = k.page_id AND n.user_id = k.user_id AND n.seq = k.newest
LEFT JOIN counted r ON r.page_id = k.page_id AND r.user_id = k.user_id AND r.seq = k.seq
WHERE k.unread IS DISTINCT FROM CASE k.side WHEN 1 THEN n.pages - r.pages ELSE n.persons - r.persons END
UNION ALL
-- Each watcher got every event since its first, once, in order, as it was.
SELECT 'watch', page_id, coalesce(e.user_id, w.user_id), format('watcher %s: event %s is %s %s of side %s, seen %s %s of side %s',
	watcher, event_number, coalesce(e.kind, 'none'), e.seq, e.side, coalesce(w.kind, 'none'), w.seq, w.side)
FROM (SELECT watcher, min(event_number) AS first, page_id FROM watched GROUP BY watcher, page_id) f
JOIN event e USING (page_id) FULL JOIN watched w USING (watcher, page_id, event_number)
WHERE (e.event_number IS NULL OR e.event_number >= f.first)
	AND (e.kind, e.user_id, e.side, e.seq, e.unread, e.body) IS DISTINCT FROM (w.kind, w.user_id, w.side, w.seq, w.unread, w.body)
UNION ALL
SELECT 'watch', page_id, user_id, format('watcher %s got event %s in place %s', watcher, told_number, event_number)
FROM watched WHERE kind = 'message' AND told_number <> event_number
UNION ALL
SELECT 'watch', page_id, 0, 'nobody watched it' FROM page WHERE page_id NOT IN (SELECT page_id FROM watched)
UNION ALL
-- Nothing here is ever against a rule: UNAVAILABLE, DEADLINE_EXCEEDED and RESOURCE_EXHAUSTED are all that may come between.
SELECT 'refused', page_id, user_id, format('%s %s: %s', kind, body, reason) FROM attempt WHERE code NOT IN (0, 4, 8, 14)
UNION ALL
-- Every send was repeated until it was acknowledged.
SELECT 'unanswered', page_id, user_id, body FROM sent WHERE ended IS NULL;
