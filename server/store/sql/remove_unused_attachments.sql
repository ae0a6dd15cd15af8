-- Takes an upload no message carries away, a few chunks at a time: an upload of which chunks are gone is
-- incomplete, so that no message can take it.  P13.  It is found by its key: `seq IS NULL` would let a plan go by
-- attachment_unused, and over all that are, as many as a retention's first round may leave.
-- lane: write
-- form: single
-- params: page_id int8, attachment_id uuid, before timestamptz, max_chunks int8
-- columns: reason text, more bool
WITH unused AS (
	SELECT attachment_id FROM attachment
	WHERE page_id = $1 AND attachment_id = $2 AND coalesce(seq, 0) = 0 AND created_at < $3
), doomed AS (
	SELECT c.chunk_index FROM attachment_chunk c, unused
	WHERE c.page_id = $1 AND c.attachment_id = $2
	ORDER BY c.chunk_index DESC LIMIT $4
), rest AS (
	SELECT (SELECT count(*) FROM attachment_chunk WHERE page_id = $1 AND attachment_id = $2)
		> (SELECT count(*) FROM doomed) AS more FROM unused
), chunks AS (
	DELETE FROM attachment_chunk
	WHERE page_id = $1 AND attachment_id = $2 AND chunk_index = ANY (ARRAY(SELECT chunk_index FROM doomed))
), opened AS (
	UPDATE attachment SET completed_at = NULL, media_type = NULL FROM rest
	WHERE page_id = $1 AND attachment_id = $2 AND rest.more AND completed_at IS NOT NULL
), gone AS (
	DELETE FROM attachment USING rest
	WHERE page_id = $1 AND attachment_id = $2 AND NOT rest.more
)
SELECT NULL::text AS reason, more FROM rest;
