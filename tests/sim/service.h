/* The servers of the simulation: EchoService with a history, and a store that is a delay. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "wire/scope.h"

/* Metadata with which a call says its number in the history: 8 bytes. */
#define CALL_KEY "sim-call"
/* What the items of streams begin with: the call's number and theirs, from 0. */
struct mark {
	uint64_t id, n;
};

struct node;

/* Starts a server at `url`; with `may_refuse` its store does not take every operation. */
struct node *node_start(const char *url, bool may_refuse);

/* Its store takes every operation from now on. */
void node_take_all(struct node *node);

/* Ends it as TERM would end the program; returns the calls it left. */
unsigned node_drain(struct node *node);

/* Frees one that has died (net_crash()). */
void node_bury(struct node *node);

/* What it should not have when nobody calls, and (`gone`) when nobody is connected: NULL, or what it has. */
const char *node_leftover(struct node *node, bool gone);
