/* The outcome of a call: a canonical code, a machine-readable reason, and what belongs to it.
 *
 * One fixed-size struct for both sides of the wire: it owns nothing, is copied by assignment and is
 * never allocated.  Codes are gRPC's, with gRPC's numbers (google.rpc.Code). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#	define ASIDE_API __attribute__((visibility("default")))
#	define ASIDE_MUST_CHECK __attribute__((warn_unused_result))
#	define ASIDE_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#	define ASIDE_API
#	define ASIDE_MUST_CHECK
#	define ASIDE_PRINTF(f, a)
#endif

enum aside_code {
	ASIDE_OK = 0,
	ASIDE_CANCELLED = 1,
	ASIDE_UNKNOWN = 2,
	ASIDE_INVALID_ARGUMENT = 3,
	ASIDE_DEADLINE_EXCEEDED = 4,
	ASIDE_NOT_FOUND = 5,
	ASIDE_ALREADY_EXISTS = 6,
	ASIDE_PERMISSION_DENIED = 7,
	ASIDE_RESOURCE_EXHAUSTED = 8,
	ASIDE_FAILED_PRECONDITION = 9,
	ASIDE_ABORTED = 10,
	ASIDE_OUT_OF_RANGE = 11,
	ASIDE_UNIMPLEMENTED = 12,
	ASIDE_INTERNAL = 13,
	ASIDE_UNAVAILABLE = 14,
	ASIDE_DATA_LOSS = 15,
	ASIDE_UNAUTHENTICATED = 16,
};

/* Most violations and facts one status carries; more are dropped. */
#define ASIDE_VIOLATIONS_MAX 4
#define ASIDE_FACTS_MAX 4

/* A field of the request that is at fault. */
struct aside_violation {
	char field[64];        /* its path: "content.text" */
	char description[128]; /* what is wrong with it, for developers */
};

/* A figure that belongs to the reason: "current_version" = "7". */
struct aside_fact {
	char key[32];
	char value[64];
};

struct aside_status {
	enum aside_code code;
	char reason[48];   /* "MESSAGING_DISABLED"; empty with ASIDE_OK */
	char domain[24];   /* "aside.v1" (the service) or "aside.rpc.v1" (the runtime) */
	char message[256]; /* for developers, in English; may change */
	uint64_t retry_after_us; /* 0: waiting is not known to help */
	/* With ASIDE_UNAVAILABLE, ASIDE_RESOURCE_EXHAUSTED and ASIDE_DEADLINE_EXCEEDED: the call was certainly not executed;
	 * without, its outcome is unknown. */
	bool not_executed;
	uint8_t n_violations;
	uint8_t n_facts;
	struct aside_violation violations[ASIDE_VIOLATIONS_MAX];
	struct aside_fact facts[ASIDE_FACTS_MAX];
};

/* "INVALID_ARGUMENT"; "UNKNOWN" for a number that is no code.  Static.  Any thread. */
ASIDE_API const char *aside_code_name(enum aside_code code);

/* The value of a fact, or NULL.  Borrowed from `status`. */
ASIDE_API const char *aside_status_fact(const struct aside_status *status, const char *key);

#ifdef __cplusplus
}
#endif
