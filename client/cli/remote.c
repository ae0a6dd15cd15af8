/* See remote.h. */
#include "remote.h"

#include <stdlib.h>
#include <string.h>

#include "aside/rpc/v1/reflection.stub.h"
#include "servers.h"

#define PATIENCE_MS 10000
#define CONNECT_MS 5000

/* Less than the call's own deadline: so that "not connected" is what is told. */
static uint32_t connect_timeout_ms(const struct invocation *in)
{
	long most = in->timeout_ms > 0 ? in->timeout_ms - in->timeout_ms / 10 : CONNECT_MS;

	return (uint32_t)(most < CONNECT_MS ? most : CONNECT_MS);
}

uint32_t remote_timeout_ms(const struct invocation *in)
{
	return in->timeout_ms > 0 ? (uint32_t)in->timeout_ms : PATIENCE_MS;
}

enum aside_code remote_channel(const struct invocation *in, const char *server, struct aside_channel **ret, struct aside_status *err)
{
	struct aside_options options = {
		.token = in->token[0] != '\0' ? in->token : NULL,
		.ca_file = in->ca_file,
		.server_name = in->server_name,
		.connect_timeout_ms = connect_timeout_ms(in),
	};

	return aside_channel_open(server, &options, ret, err);
}

static enum aside_code load_catalog(struct remote *remote, struct aside_status *err)
{
	Aside__Rpc__V1__GetDescriptorsRequest everything = ASIDE__RPC__V1__GET_DESCRIPTORS_REQUEST__INIT;
	Aside__Rpc__V1__GetDescriptorsResponse *response = NULL;
	struct aside_call_options options = { .timeout_ms = remote_timeout_ms(remote->in) };
	enum aside_code code = aside_rpc_v1_reflection_service_get_descriptors(remote->channel, &everything, &options, &response, err);

	if (code == ASIDE_OK)
		code = catalog_init(&remote->catalog, response->files, response->n_files, err);
	aside_free(response);
	return code;
}

enum aside_code remote_open(const struct invocation *in, struct remote *remote, struct aside_status *err)
{
	enum aside_code code;

	*remote = (struct remote){ .in = in };
	code = remote_channel(in, in->server, &remote->channel, err);
	return code == ASIDE_OK ? load_catalog(remote, err) : code;
}

int remote_complain(const struct invocation *in, const struct aside_status *status)
{
	struct server *CLEANUP(freep) servers = NULL;
	char out[SERVER_WHY_BYTES];
	int rc = complain(status);
	size_t n = 0;

	if (strcmp(status->reason, "NOT_CONNECTED") != 0 || servers_find(in, &servers, &n) != 0)
		return rc;
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, "  %s: %s\n", servers[i].url, server_trouble(in, &servers[i], out));
	return rc;
}

void remote_close(struct remote *remote)
{
	aside_channel_close(remote->channel);
	catalog_fini(&remote->catalog);
}

/* How the invocation says to call; borrows `metadata`. */
static struct aside_call_options call_options(const struct invocation *in, struct aside_metadata *metadata)
{
	*metadata = (struct aside_metadata){ "act-as-user", in->as_user, in->as_user != NULL ? strlen(in->as_user) : 0 };
	return (struct aside_call_options){ .timeout_ms = (uint32_t)in->timeout_ms, .metadata = metadata,
		.n_metadata = in->as_user != NULL };
}

enum aside_code remote_call(const struct remote *remote, const struct aside_method *method, const ProtobufCMessage *request,
		ProtobufCMessage **ret_response, struct aside_status *err)
{
	struct aside_metadata metadata;
	struct aside_call_options options = call_options(remote->in, &metadata);

	return aside_call(remote->channel, method, request, &options, ret_response, err);
}

enum aside_code remote_stream(const struct remote *remote, const struct aside_method *method, const ProtobufCMessage *request,
		struct aside_stream **ret_stream, struct aside_status *err)
{
	struct aside_metadata metadata;
	struct aside_call_options options = call_options(remote->in, &metadata);

	return aside_stream_open(remote->channel, method, request, &options, NULL, ret_stream, err);
}
