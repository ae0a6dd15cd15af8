/* See referee.h. */
#include "referee.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "sim.h"
#include "wire/envelope.h"

#define AHEAD_MAX 64 /* messages that are heard before their turn: more than a client has requests */

struct replied {
	LIST_ENTRY(replied) entry;
	uint64_t call_id;
};

struct heard {
	LIST_ENTRY(heard) entry;
	uint64_t number;
	uint64_t asked, answered; /* sequence numbers: the last that the client, that the server has said */
	uint64_t understood; /* the last that the client has heard, and all before it */
	uint64_t ahead[AHEAD_MAX]; /* heard, and not understood */
	unsigned n_ahead;
	uint64_t goaway; /* the first with a GOAWAY; 0: none */
	bool greeted; /* HELLO is answered */
	bool refused; /* the server knows no such session, or none any more */
	uint64_t last_call_id;
	LIST_HEAD(, replied) replied; /* the last first */
};

static LIST_HEAD(, heard) sessions = LIST_HEAD_INITIALIZER(sessions);

void referee_open(void)
{
	LIST_INIT(&sessions);
}

void referee_close(void)
{
	struct replied *replied;
	struct heard *heard;

	while ((heard = LIST_FIRST(&sessions)) != NULL) {
		LIST_REMOVE(heard, entry);
		while ((replied = LIST_FIRST(&heard->replied)) != NULL) {
			LIST_REMOVE(replied, entry);
			free(replied);
		}
		free(heard);
	}
}

uint64_t referee_session(struct bytes message)
{
	struct envelope_reader reader;

	return envelope_read(&reader, message).session;
}

static struct heard *find(uint64_t number)
{
	struct heard *heard;

	LIST_FOREACH(heard, &sessions, entry)
		if (heard->number == number)
			return heard;
	heard = calloc(1, sizeof *heard);
	heard->number = number;
	LIST_INIT(&heard->replied);
	LIST_INSERT_HEAD(&sessions, heard, entry);
	return heard;
}

/* False: that was the last. */
static bool next(struct envelope_reader *reader, struct frame *ret)
{
	bool more = false;

	if (envelope_next(reader, ret, &more, NULL) != ASIDE_OK)
		sim_fail("a message that cannot be read is sent");
	return more;
}

/* ── the client ──────────────────────────────────────────────────────────────────────────────────────── */

static void check_call(struct heard *heard, const struct frame *frame)
{
	if (heard->goaway != 0 && heard->understood >= heard->goaway)
		sim_fail("a client makes a call of a server that has told it to go");
	if (frame->call_id <= heard->last_call_id)
		sim_fail("a call id does not ascend");
	heard->last_call_id = frame->call_id;
}

void referee_client_says(struct bytes message)
{
	struct envelope_reader reader;
	struct envelope_head head = envelope_read(&reader, message);
	struct heard *heard = find(head.session);
	struct frame frame;
	unsigned n = 0, hellos = 0;

	if (head.sequence != ++heard->asked)
		sim_fail("a client counts its messages wrong");
	if (head.sequence == 2 && !heard->greeted)
		sim_fail("a client goes on before its HELLO is answered");
	for (; next(&reader, &frame); n++) {
		hellos += frame.kind == FRAME_HELLO;
		if (frame.kind == FRAME_CALL)
			check_call(heard, &frame);
	}
	if (hellos != (head.sequence == 1) || (head.sequence == 1 && n != 1))
		sim_fail("HELLO is not alone, or missing, or comes again");
}

/* What was heard ahead and is next. */
static bool catch_up(struct heard *heard)
{
	for (unsigned i = 0; i < heard->n_ahead; i++)
		if (heard->ahead[i] == heard->understood + 1) {
			heard->ahead[i] = heard->ahead[--heard->n_ahead];
			heard->understood++;
			return true;
		}
	return false;
}

uint64_t referee_client_hears(uint64_t session, struct bytes message)
{
	struct envelope_reader reader;
	uint64_t sequence = envelope_read(&reader, message).sequence;

	if (sequence == 0)
		find(session)->refused = true;
	else
		find(session)->greeted = true;
	return sequence;
}

void referee_client_heard(uint64_t session, uint64_t sequence)
{
	struct heard *heard = find(session);

	if (sequence == 0)
		return;
	if (heard->n_ahead == AHEAD_MAX)
		sim_fail("more is heard ahead than was asked for");
	heard->ahead[heard->n_ahead++] = sequence;
	while (catch_up(heard))
		;
}

void referee_client_drops(uint64_t session)
{
	if (session != 0 && !find(session)->refused)
		sim_fail("a client drops a connection that is well");
}

/* ── the server ──────────────────────────────────────────────────────────────────────────────────────── */

static void check_goaway(struct heard *heard, const struct envelope_head *head, const struct frame *frame)
{
	static const char *const fair[] = { "no such session", "the session has ended", "the client has left" };

	if (head->sequence != 0) {
		heard->goaway = heard->goaway != 0 ? heard->goaway : head->sequence;
		return;
	}
	for (size_t i = 0; i < sizeof fair / sizeof *fair; i++)
		if (frame->reason.size == strlen(fair[i]) && memcmp(frame->reason.data, fair[i], frame->reason.size) == 0)
			return;
	sim_fail("a server ends a session: %.*s", (int)frame->reason.size, (const char *)frame->reason.data);
}

static void check_frame(struct heard *heard, const struct frame *frame)
{
	struct replied *replied;

	if (frame->call_id > heard->last_call_id)
		sim_fail("a server speaks of a call that nobody has made");
	LIST_FOREACH(replied, &heard->replied, entry)
		if (replied->call_id == frame->call_id)
			sim_fail("a server goes on after its REPLY");
	if (frame->kind != FRAME_REPLY)
		return;
	replied = calloc(1, sizeof *replied);
	replied->call_id = frame->call_id;
	LIST_INSERT_HEAD(&heard->replied, replied, entry);
}

void referee_server_says(uint64_t session, struct bytes message)
{
	struct envelope_reader reader;
	struct envelope_head head = envelope_read(&reader, message);
	struct heard *heard = find(session);
	struct frame frame;

	if (head.session != session)
		sim_fail("a server answers with what is another session's");
	if (head.sequence != 0 && head.sequence != ++heard->answered)
		sim_fail("a server counts its messages wrong");
	while (next(&reader, &frame))
		if (frame.kind == FRAME_GOAWAY)
			check_goaway(heard, &head, &frame);
		else if (frame.kind != FRAME_HELLO)
			check_frame(heard, &frame);
}
