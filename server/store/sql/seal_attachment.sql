-- The bytes were checked: from now on a message may carry the upload, unless the sweep was faster.
-- Again: the first answer.  P13.
-- lane: write
-- form: single
-- params: page_id int8, caller int8, attachment_id uuid, media_type text, now timestamptz
-- columns: reason text, media_type text
WITH upload AS (
	SELECT media_type, (SELECT sum(octet_length(c.data)) FROM attachment_chunk c
		WHERE c.page_id = $1 AND c.attachment_id = $3) = size_bytes AS whole
	FROM attachment
	WHERE page_id = $1 AND attachment_id = $3 AND uploader_id = $2
), sealed AS (
	UPDATE attachment SET media_type = $4, completed_at = $5
	FROM upload
	WHERE page_id = $1 AND attachment_id = $3 AND completed_at IS NULL AND upload.whole
)
SELECT CASE WHEN whole IS NOT TRUE THEN 'ATTACHMENT_INCOMPLETE' END AS reason,
	coalesce(media_type, $4) AS media_type
FROM upload;
