/* A private PostgreSQL cluster: the default where no database is configured.  Unix socket only, durable
 * settings, checksums, an unprivileged user.  It ends with the process that started it. */
#pragma once

#include "wire/scope.h"

struct cluster;

/* Makes the cluster in data_dir/postgres if there is none, starts it and waits until it answers.  As root it
 * runs as `user`.  From the main thread, before others: it forks, and the child dies with this thread. */
enum aside_code cluster_start(const char *data_dir, const char *user, struct cluster **ret,
		struct aside_status *err) MUST_CHECK;

/* What to connect with.  Borrowed. */
const char *cluster_dsn(const struct cluster *cluster);

/* Fast shutdown, and waits for it.  NULL is fine. */
void cluster_stop(struct cluster *cluster);
