/* What stands beside a method: the option (aside.rpc.v1.rule), read and checked. */
#pragma once

#include <stdint.h>

#include "google/protobuf/compiler/plugin.pb-c.h"

struct rule {
	unsigned callers; /* enum aside_caller, or-ed */
	char scope[64];
	char role[64];
	uint32_t timeout_ms;
	uint32_t request_bytes;
	uint32_t concurrency;
};

/* NULL and *ret, or why the method is refused (static). */
const char *rule_read(const Google__Protobuf__MethodDescriptorProto *method, struct rule *ret);

/* NULL, or why a file cannot be generated from: recursive messages and proto3 optional are beyond
 * protobuf-c, maps are aside.rpc.v1.ErrorInfo's alone, a service needs a package and methods whose functions
 * have different names in C.  `where` gets the message, field, service or method. */
const char *file_check(const Google__Protobuf__Compiler__CodeGeneratorRequest *request,
		const Google__Protobuf__FileDescriptorProto *file, char where[512]);
