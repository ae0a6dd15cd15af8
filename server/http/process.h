/* The process in Prometheus' usual names: processor time, memory, descriptors, start. */
#pragma once

#include <stdio.h>

/* What the system does not tell (a chroot without /proc) is left out.  Any thread. */
void process_write_metrics(FILE *out);
