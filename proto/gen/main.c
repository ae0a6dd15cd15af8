/* protoc-gen-aside: a protoc plugin.  Reads a CodeGeneratorRequest from standard input, writes a
 * CodeGeneratorResponse to standard output; what it refuses is the response's `error`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emit.h"
#include "rule.h"

typedef Google__Protobuf__Compiler__CodeGeneratorRequest Request;
typedef Google__Protobuf__Compiler__CodeGeneratorResponse Response;
typedef Google__Protobuf__Compiler__CodeGeneratorResponse__File Output;

#define REQUEST_BYTES_MAX (64u << 20)
#define FEATURE_PROTO3_OPTIONAL 1 /* understood, so that it is refused in our words */

static void *must(void *pointer)
{
	if (pointer == NULL) {
		fputs("protoc-gen-aside: out of memory\n", stderr);
		exit(EXIT_FAILURE);
	}
	return pointer;
}

static uint8_t *read_all(size_t *ret_size)
{
	size_t size = 0, room = 1 << 16;
	uint8_t *data = must(malloc(room));

	for (size_t n; (n = fread(data + size, 1, room - size, stdin)) > 0 && size < REQUEST_BYTES_MAX;) {
		size += n;
		if (size == room)
			data = must(realloc(data, room *= 2));
	}
	*ret_size = size;
	return data;
}

static void write_response(const Response *response)
{
	size_t size = google__protobuf__compiler__code_generator_response__get_packed_size(response);
	uint8_t *packed = must(malloc(size + 1));

	(void)google__protobuf__compiler__code_generator_response__pack(response, packed);
	if (fwrite(packed, 1, size, stdout) != size || fflush(stdout) != 0) {
		perror("protoc-gen-aside");
		exit(EXIT_FAILURE);
	}
	free(packed);
}

static Output *add_output(Response *response, const File *file, const char *ending)
{
	Output *output = must(malloc(sizeof *output));
	size_t size = strlen(file->name) + strlen(ending) + 1;

	google__protobuf__compiler__code_generator_response__file__init(output);
	output->name = must(malloc(size));
	(void)snprintf(output->name, size, "%.*s%s", (int)(strlen(file->name) - strlen(".proto")), file->name,
			ending);
	response->file = must(realloc(response->file, (response->n_file + 1) * sizeof *response->file));
	response->file[response->n_file++] = output;
	return output;
}

static void free_outputs(Output **outputs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(outputs[i]->name);
		free(outputs[i]->content);
		free(outputs[i]);
	}
	free(outputs);
}

/* NULL, or why `file` is refused. */
static const char *generate(const Request *request, const File *file, Response *response, char where[512])
{
	const char *why = file_check(request, file, where);
	size_t size;
	FILE *out;

	if (why != NULL)
		return why;
	out = must(open_memstream(&add_output(response, file, ".rpc.h")->content, &size));
	emit_header(out, file);
	fclose(out);
	out = must(open_memstream(&add_output(response, file, ".rpc.c")->content, &size));
	why = emit_tables(out, file, where);
	fclose(out);
	if (why != NULL || file->n_service == 0)
		return why;
	out = must(open_memstream(&add_output(response, file, ".stub.h")->content, &size));
	emit_stub(out, file);
	fclose(out);
	return NULL;
}

static const File *find_file(const Request *request, const char *name)
{
	for (size_t i = 0; i < request->n_proto_file; i++)
		if (strcmp(request->proto_file[i]->name, name) == 0)
			return request->proto_file[i];
	return NULL;
}

int main(int argc, char **argv)
{
	Response response = GOOGLE__PROTOBUF__COMPILER__CODE_GENERATOR_RESPONSE__INIT;
	char where[512] = "", error[1200];
	size_t size;

	if (argc > 1) {
		printf("protoc-gen-aside: a protoc plugin; use it as\n"
		       "  protoc --plugin=protoc-gen-aside=%s --aside_out=DIR FILE.proto\n",
				argv[0]);
		return strcmp(argv[1], "--help") == 0 ? EXIT_SUCCESS : 2;
	}
	uint8_t *data = read_all(&size);
	Request *request = google__protobuf__compiler__code_generator_request__unpack(NULL, size, data);
	free(data);
	if (request == NULL) {
		fputs("protoc-gen-aside: standard input is not a CodeGeneratorRequest\n", stderr);
		return EXIT_FAILURE;
	}
	response.has_supported_features = 1;
	response.supported_features = FEATURE_PROTO3_OPTIONAL;
	const char *why = NULL;
	for (size_t i = 0; i < request->n_file_to_generate && why == NULL; i++) {
		const File *file = find_file(request, request->file_to_generate[i]);
		why = "it is not in the request";
		if (file != NULL)
			why = generate(request, file, &response, where);
		if (why != NULL)
			(void)snprintf(error, sizeof error, "%s: %s: %s", request->file_to_generate[i], where, why);
	}
	size_t n_outputs = response.n_file;
	if (why != NULL) {
		response.error = error;
		response.n_file = 0;
	}
	write_response(&response);
	free_outputs(response.file, n_outputs);
	google__protobuf__compiler__code_generator_request__free_unpacked(request, NULL);
	return EXIT_SUCCESS;
}
