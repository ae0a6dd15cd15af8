/* A private PostgreSQL cluster: the default where no database is configured.  Unix socket only, durable
 * settings, checksums, an unprivileged user.  It ends with the process that started it. */
#pragma once

#include "wire/scope.h"

struct cluster;

/* Its programs: meson's option `postgresql`. */
#define CLUSTER_INITDB CLUSTER_BINARIES "/initdb"
#define CLUSTER_POSTGRES CLUSTER_BINARIES "/postgres"

/* Whether there is a cluster in data_dir. */
bool cluster_exists(const char *data_dir);

/* Makes the cluster in data_dir/postgres if there is none, starts it, waits until it answers, and from then on starts
 * it again whenever it dies.  As root it runs as `user`. */
enum aside_code cluster_start(const char *data_dir, const char *user, struct cluster **ret,
		struct aside_status *err) MUST_CHECK;

/* What the owner of the schema connects with, for migrations, and what a server does, whose login has no more rights
 * than migrations/grants.sql gives.  Borrowed. */
const char *cluster_dsn(const struct cluster *cluster);
const char *cluster_server_dsn(const struct cluster *cluster);

/* Fast shutdown, and waits for it, as postmaster_stop() does.  NULL is fine. */
void cluster_stop(struct cluster *cluster);
