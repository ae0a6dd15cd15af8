/* What attachments.c and complete.c share. */
#pragma once

#include "rpc/call.h"

#define CHUNK_BYTES 262144
/* Of the largest attachment a page can allow, 1 GiB. */
#define CHUNKS_MAX 4096

handler_begin complete_begin;
handler_end complete_end;
