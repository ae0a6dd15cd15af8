/* See scene.h. */
#include "scene.h"

#include <stdio.h>
#include <stdlib.h>

#include "follower.h"
#include "history.h"

#define PERSONS 16
#define CALLS_UNDER_WAY 256
#define CONNECT_TIMEOUT_MS 20000
#define CATCH_UP_US 60000000 /* for all watchers together */

static void open_channel(struct scene *scene)
{
	const struct aside_options options = { .connect_timeout_ms = CONNECT_TIMEOUT_MS };
	char addresses[SCENE_SERVERS * ASIDE_ADDRESS_MAX] = "";
	size_t used = 0;

	for (unsigned n = 0; n < SCENE_SERVERS; n++)
		used += (size_t)snprintf(addresses + used, sizeof addresses - used, "%s%s", n > 0 ? "," : "",
				aside_harness_address(harness, n));
	assert_int_equal(aside_channel_open(addresses, &options, &scene->channel, &status), ASIDE_OK);
}

static int64_t last_event(int64_t page)
{
	return world_sql("SELECT last_event FROM page WHERE page_id = %lld", (long long)page);
}

/* Staff may answer without end, so that nothing is ever refused. */
static int64_t page_without_budget(void)
{
	Aside__V1__PageSettings settings = ASIDE__V1__PAGE_SETTINGS__INIT;
	int64_t page = new_page();

	assert_done(change_settings(ADMIN, page, &settings, "reply_budget", 0));
	return page;
}

void scene_begin(struct scene *scene, unsigned seed)
{
	*scene = (struct scene){ .history = history_open(aside_harness_folder(harness)) };
	assert_non_null(scene->history);
	open_channel(scene);
	for (unsigned i = 0; i < SCENE_PAGES; i++) {
		scene->pages[i] = page_without_budget();
		scene->followers[i] = follower_start(scene->channel, scene->history, i, scene->pages[i], last_event(scene->pages[i]));
		assert_non_null(scene->followers[i]);
	}
	scene->load = load_start(&(struct load_options){ .channel = scene->channel, .history = scene->history,
			.pages = scene->pages, .n_pages = SCENE_PAGES, .staff = MODERATOR, .n_persons = PERSONS,
			.under_way = CALLS_UNDER_WAY, .seed = seed });
	assert_non_null(scene->load);
}

PGconn *scene_end(struct scene *scene)
{
	bool answered = load_stop(scene->load), caught_up = true;
	int64_t until_us = load_now_us() + CATCH_UP_US;

	for (unsigned i = 0; i < SCENE_PAGES; i++)
		caught_up = follower_stop(scene->followers[i], last_event(scene->pages[i]), until_us) && caught_up;
	aside_channel_close(scene->channel);
	history_close(scene->history);
	if (!answered || !caught_up) /* the checker says what is missing */
		print_error("%s\n", answered ? "a watcher has not caught up" : "calls are still unanswered");
	PGconn *checker = checker_open(aside_harness_database(harness), getenv("ASIDE_CHECK_SQL"), aside_harness_folder(harness));
	assert_non_null(checker);
	return checker;
}
