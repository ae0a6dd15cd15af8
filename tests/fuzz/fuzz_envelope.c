/* Any bytes as an envelope: each frame read is written again, and reads back as it was. */
#include <assert.h>
#include <stdlib.h>

#include "wire/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void rewrite(const struct frame *frame)
{
	static struct frame again;
	struct envelope_reader reader;
	size_t size = envelope_frame_size(frame);
	uint8_t *out = malloc(size);
	bool more;

	assert(out != NULL && envelope_frame_write(frame, out) == out + size);
	envelope_read(&reader, (struct bytes){ out, size });
	enum aside_code code = envelope_next(&reader, &again, &more, NULL);
	assert(code == ASIDE_OK && more);
	assert(again.kind == frame->kind && again.call_id == frame->call_id);
	assert(again.payload.size == frame->payload.size && again.n_metadata == frame->n_metadata);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct frame frame;
	struct envelope_reader reader;
	bool more;

	envelope_read(&reader, (struct bytes){ data, size });
	while (envelope_next(&reader, &frame, &more, NULL) == ASIDE_OK && more)
		rewrite(&frame);
	return 0;
}
