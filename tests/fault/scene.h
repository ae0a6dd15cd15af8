/* Pages, the load on them and their watchers, through one channel to all of the test's servers; and in the end what
 * the checker makes of it.  For cmocka tests on world.h's servers. */
#pragma once

#include "checker.h"
#include "load.h"
#include "world.h"

#define SCENE_SERVERS 2
#define SCENE_PAGES 4

struct scene {
	int64_t pages[SCENE_PAGES];
	struct aside_channel *channel;
	struct history *history;
	struct load *load;
	struct follower *followers[SCENE_PAGES];
};

/* The load runs and all watch. */
void scene_begin(struct scene *scene, unsigned seed);

/* Everything is answered, and watchers have caught up.  What they saw and what there is, taken over: the caller's
 * to PQfinish(). */
PGconn *scene_end(struct scene *scene);
