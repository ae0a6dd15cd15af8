/* Writes the three files of one .proto: X.rpc.h and X.rpc.c (the tables both sides read), X.stub.h (the
 * client's inlines). */
#pragma once

#include <stdio.h>

#include "google/protobuf/compiler/plugin.pb-c.h"

typedef Google__Protobuf__FileDescriptorProto File;

void emit_header(FILE *out, const File *file);
void emit_stub(FILE *out, const File *file);

/* NULL, or why a method is refused (static); `where` gets its name. */
const char *emit_tables(FILE *out, const File *file, char where[512]);
