/* See process.h; the names are those of Prometheus' client libraries. */
#include "process.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define STAT_BYTES 2048
#define STAT_START 22 /* proc(5): the field starttime */

static void put(FILE *out, const char *name, const char *type, const char *help, double value)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type, name, value);
}

static void write_memory(FILE *out)
{
	FILE *statm = fopen("/proc/self/statm", "re");
	unsigned long total, resident;

	if (statm != NULL && fscanf(statm, "%lu %lu", &total, &resident) == 2) {
		double page = (double)sysconf(_SC_PAGESIZE);
		put(out, "process_virtual_memory_bytes", "gauge", "Virtual memory size.", (double)total * page);
		put(out, "process_resident_memory_bytes", "gauge", "Resident memory size.", (double)resident * page);
	}
	if (statm != NULL)
		fclose(statm);
}

static void write_descriptors(FILE *out)
{
	DIR *dir = opendir("/proc/self/fd");
	struct rlimit limit;
	unsigned n = 0;

	if (dir != NULL) {
		for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
			n += entry->d_name[0] != '.';
		closedir(dir);
		put(out, "process_open_fds", "gauge", "Open file descriptors.", n - 1); /* but for the folder's own */
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		put(out, "process_max_fds", "gauge", "Most file descriptors that may be open.", (double)limit.rlim_cur);
}

/* From the system's start to the process's; negative where /proc does not tell. */
static double start_seconds_after_boot(void)
{
	FILE *file = fopen("/proc/self/stat", "re");
	char text[STAT_BYTES] = "", *field, *state = NULL;

	if (file == NULL)
		return -1;
	text[fread(text, 1, sizeof text - 1, file)] = '\0';
	fclose(file);
	/* The second field, the program's name, may hold blanks: the third follows the last bracket. */
	field = strrchr(text, ')');
	field = field != NULL ? strtok_r(field + 1, " ", &state) : NULL;
	for (unsigned n = 3; field != NULL && n < STAT_START; n++)
		field = strtok_r(NULL, " ", &state);
	return field != NULL ? strtod(field, NULL) / (double)sysconf(_SC_CLK_TCK) : -1;
}

static void write_start(FILE *out)
{
	double after_boot = start_seconds_after_boot();
	struct timespec now, since_boot;

	if (after_boot < 0 || clock_gettime(CLOCK_REALTIME, &now) != 0 || clock_gettime(CLOCK_BOOTTIME, &since_boot) != 0)
		return;
	put(out, "process_start_time_seconds", "gauge", "When the process began, in seconds since 1970.",
			(double)(now.tv_sec - since_boot.tv_sec) + (double)(now.tv_nsec - since_boot.tv_nsec) / 1e9 + after_boot);
}

void process_write_metrics(FILE *out)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) == 0)
		put(out, "process_cpu_seconds_total", "counter", "Processor time used, in seconds.",
				(double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
						(double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
	write_memory(out);
	write_descriptors(out);
	write_start(out);
}
