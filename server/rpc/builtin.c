/* What builtin services speak of, and reflection.  See builtin.h. */
#include "builtin.h"

#include <string.h>

#include "aside/rpc/v1/reflection.rpc.h"

#define FILES_MAX 64

static struct server *the_server;
static const struct handlers *const *the_handlers;

void builtin_init(struct server *server, const struct handlers *const *handlers)
{
	the_server = server;
	the_handlers = handlers;
}

struct server *builtin_server(void)
{
	return the_server;
}

const struct aside_service *builtin_find_service(const char *name, size_t length)
{
	for (size_t i = 0; the_handlers[i] != NULL; i++)
		if (strlen(the_handlers[i]->service->name) == length &&
				memcmp(the_handlers[i]->service->name, name, length) == 0)
			return the_handlers[i]->service;
	return NULL;
}

bool builtin_asks_for(const char *scope, size_t length)
{
	if (strlen(ASIDE_SCOPE_ACT) == length && memcmp(ASIDE_SCOPE_ACT, scope, length) == 0)
		return true;
	for (size_t i = 0; the_handlers[i] != NULL; i++)
		for (size_t k = 0; k < the_handlers[i]->service->n_methods; k++) {
			const char *asked = the_handlers[i]->service->methods[k].scope;
			if (asked != NULL && strlen(asked) == length && memcmp(asked, scope, length) == 0)
				return true;
		}
	return false;
}

static enum aside_code list_services(struct call *call, const void *request, struct aside_status *err)
{
	Aside__Rpc__V1__ListServicesResponse *out = call_response(call);
	size_t n = 0;

	(void)request;
	while (the_handlers[n] != NULL)
		n++;
	if (out == NULL || (out->services = call_alloc(call, n * sizeof *out->services)) == NULL)
		return call_full(err);
	for (size_t i = 0; i < n; i++) {
		const struct aside_service *service = the_handlers[i]->service;
		Aside__Rpc__V1__ListServicesResponse__Service *row = call_alloc(call, sizeof *row);
		if (row == NULL)
			return call_full(err);
		aside__rpc__v1__list_services_response__service__init(row);
		row->name = (char *)service->name;
		row->methods = call_alloc(call, service->n_methods * sizeof *row->methods);
		if (row->methods == NULL)
			return call_full(err);
		for (size_t k = 0; k < service->n_methods; k++)
			row->methods[row->n_methods++] = (char *)service->methods[k].path;
		size_t at = out->n_services++; /* kept in alphabetical order */
		for (; at > 0 && strcmp(out->services[at - 1]->name, row->name) > 0; at--)
			out->services[at] = out->services[at - 1];
		out->services[at] = row;
	}
	return ASIDE_OK;
}

/* Adds a file after those it imports, each once. */
static void add_file(const struct aside_file *file, const struct aside_file **files, size_t *n)
{
	for (size_t i = 0; i < *n; i++)
		if (files[i] == file)
			return;
	for (size_t i = 0; file->imports[i] != NULL; i++)
		add_file(file->imports[i], files, n);
	if (*n < FILES_MAX)
		files[(*n)++] = file;
}

static enum aside_code get_descriptors(struct call *call, const void *request, struct aside_status *err)
{
	const Aside__Rpc__V1__GetDescriptorsRequest *in = request;
	Aside__Rpc__V1__GetDescriptorsResponse *out = call_response(call);
	const char *name = in->symbol + (in->symbol[0] == '/');
	const struct aside_service *service = builtin_find_service(name, strcspn(name, "/"));
	const struct aside_file *files[FILES_MAX];
	size_t n = 0;

	if (service == NULL && in->symbol[0] != '\0')
		return fail(err, ASIDE_NOT_FOUND, "SYMBOL_UNKNOWN", "no service or method %s", in->symbol);
	if (service != NULL)
		add_file(service->file, files, &n);
	for (size_t i = 0; service == NULL && the_handlers[i] != NULL; i++)
		add_file(the_handlers[i]->service->file, files, &n);
	if (out == NULL || (out->files = call_alloc(call, n * sizeof *out->files)) == NULL)
		return call_full(err);
	for (size_t i = 0; i < n; i++)
		out->files[out->n_files++] = (ProtobufCBinaryData){ files[i]->descriptor_bytes,
			(uint8_t *)(uintptr_t)files[i]->descriptor };
	return ASIDE_OK;
}

static const struct handler reflection[] = {
	{ "ListServices", list_services, NULL },
	{ "GetDescriptors", get_descriptors, NULL },
};
const struct handlers reflection_handlers = { &aside_rpc_v1_reflection_service, reflection, 2 };
