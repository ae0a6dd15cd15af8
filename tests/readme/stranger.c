/* What another project's test may look like; see harness.sh. */
#include <aside/harness.h>
#include <aside/v1/messages.stub.h>
#include <aside/v1/pages.stub.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int complain(const struct aside_status *status)
{
	fprintf(stderr, "%s %s: %s\n", aside_code_name(status->code), status->reason, status->message);
	return 1;
}

static enum aside_code send(struct aside_channel *channel, const char *key, uint32_t *ret_seq, struct aside_status *status)
{
	Aside__V1__SendMessageRequest request = ASIDE__V1__SEND_MESSAGE_REQUEST__INIT;
	Aside__V1__SendMessageResponse *response = NULL;
	Aside__V1__Content content = ASIDE__V1__CONTENT__INIT;

	content.text = (char *)"Hello!";
	request.page_id = 1;
	request.client_key = (ProtobufCBinaryData){ 16, (uint8_t *)key };
	request.content = &content;
	enum aside_code code = aside_v1_message_service_send_message(channel, &request, aside_harness_as(42), &response, status);
	if (code == ASIDE_OK)
		*ret_seq = response->receipt->seq;
	aside_free(response);
	return code;
}

int main(int argc, char **argv)
{
	struct aside_harness_options options = { .servers = 2 };
	Aside__V1__CreatePageRequest page = ASIDE__V1__CREATE_PAGE_REQUEST__INIT;
	Aside__V1__CreatePageResponse *made = NULL;
	struct aside_harness *harness = NULL;
	struct aside_status status;
	uint32_t seq = 0;

	if (aside_harness_start(&options, &harness, &status) != ASIDE_OK)
		return complain(&status);
	page.page_id = 1;
	page.name = (char *)"Coke";
	page.admin_user_id = 7;
	if (aside_v1_page_service_create_page(aside_harness_channel(harness, 0), &page, NULL, &made, &status) != ASIDE_OK ||
			send(aside_harness_channel(harness, 0), "0123456789abcdef", &seq, &status) != ASIDE_OK ||
			send(aside_harness_channel(harness, 1), "fedcba9876543210", &seq, &status) != ASIDE_OK)
		return complain(&status);
	printf("message %u of page %lld\n", seq, (long long)made->page->page_id);
	aside_free(made);
	if (argc > 1 && strcmp(argv[1], "stay") == 0) {
		puts("staying");
		fflush(stdout);
		pause();
	}
	return aside_harness_stop(harness);
}
