/* A lane of reads on a replica, a hot standby of the primary (--read-database).  What it answers is what the primary would
 * have answered: it may be behind, away or promoted, and no caller notices.
 *
 *     batch ──▶ the replica: how far its pages are there (watermark.h), and the reads, in one snapshot
 *           └─▶ the witness, a connection of its own to the primary: how far they are
 *
 *     the same watermark          the replica's answer
 *     anything else               falls back to a read lane of the primary, as if it had come there
 *
 * A page's watermark is its last event, its first event and first message that are kept: a write that changes anything a
 * statement `lane: replica` reads changes one of these in the same transaction (P17).  So the same numbers mean the same
 * rows, and the answer is right for the moment at which the witness said so, whoever wrote before and through which server:
 * nobody needs to bring the number of what they wrote, and so nobody is told it.  More than the primary has is no better
 * than less: a replica shows commits that still wait for another standby, and which a failover could undo.
 *
 * Both are asked at once; the primary finds a row for each page, by its key.  After a failover numbers could be the same and
 * mean different things: a replica counts only while it is on the primary's timeline, of the same cluster.  Its control file
 * may say so minutes later than it is.
 *
 * The replica has no longer than REPLICA_PATIENCE_US.  One that takes longer, is lost, or refuses as a server that cannot is
 * left; then nothing is offered to its lane, which looks for a replica until it has one.  A statement that is refused for
 * its own sake falls back, and no more.  The witness has as long as the operations have: a primary that is slow is so from
 * too much work, and would get all of the replica's.  Where only the witness is lost it alone is made anew. */
#pragma once

#include "wire/scope.h"
#include "wire/status.h"

#define REPLICA_PATIENCE_US 100000

struct lane;
struct lane_work;
struct replica;

/* `database`, the primary's DSN, is borrowed; *ret is to be freed. */
enum aside_code replica_new(const char *database, struct lane *primary, struct replica **ret, struct aside_status *err) MUST_CHECK;

/* Answers the lane's batch, or lets it fall back; connects where there is no connection, and notices where it is lost. */
extern const struct lane_work replica_work;

/* As connection_stop(), of the witness.  NULL is fine. */
void replica_stop(struct replica *replica, int64_t deadline_us);

/* After the lane's thread has ended.  NULL is fine. */
void replica_free(struct replica *replica);
