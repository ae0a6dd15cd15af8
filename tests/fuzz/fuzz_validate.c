/* Any bytes as a message: what validate() lets through, protobuf-c unpacks without harm. */
#include "aside/rpc/v1/envelope.pb-c.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "wire/arena.h"
#include "wire/validate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const ProtobufCMessageDescriptor *const messages[] = {
		&aside__rpc__v1__hello__descriptor,
		&google__protobuf__file_descriptor_proto__descriptor,
	};

	for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
		struct arena arena;
		if (validate(messages[i], (struct bytes){ data, size }, NULL) != ASIDE_OK)
			continue;
		arena_init(&arena, 1 << 20);
		(void)protobuf_c_message_unpack(messages[i], &arena.allocator, size, data);
		arena_fini(&arena);
	}
	return 0;
}
