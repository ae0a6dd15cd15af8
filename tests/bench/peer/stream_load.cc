// Streams of items of gRPC C++, in each form its clients know: how many come a second.
//
//     stream_load ADDRESS SECONDS queues|callbacks|threads N CHANNELS
#include <cstdio>
#include <cstdlib>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "channels.h"
#include "peer.grpc.pb.h"

extern "C" {
#include "../load.h"
}

using peer::v1::EchoMessage;
using peer::v1::EchoService;
using peer::v1::RepeatRequest;

namespace {

constexpr size_t kPayloadBytes = 128;
uint64_t n_items;

void Count()
{
	__atomic_fetch_add(&n_items, 1, __ATOMIC_RELAXED);
}

class Reader final : public grpc::ClientReadReactor<EchoMessage> {
public:
	void Open(EchoService::Stub *stub, const RepeatRequest *request)
	{
		stub->async()->Repeat(&context_, request, this);
		StartRead(&item_);
		StartCall();
	}

	void OnReadDone(bool ok) override
	{
		if (!ok)
			return;
		Count();
		StartRead(&item_);
	}

private:
	grpc::ClientContext context_;
	EchoMessage item_;
};

struct QueueReader {
	grpc::ClientContext context;
	EchoMessage item;
	std::unique_ptr<grpc::ClientAsyncReader<EchoMessage>> reader;
	bool open = false;
};

void RunQueue(grpc::CompletionQueue *queue)
{
	void *tag;
	bool ok;

	while (queue->Next(&tag, &ok) && ok) {
		auto *stream = static_cast<QueueReader *>(tag);
		if (stream->open)
			Count();
		stream->open = true;
		stream->reader->Read(&stream->item, stream);
	}
}

void RunThread(EchoService::Stub *stub, const RepeatRequest *request)
{
	grpc::ClientContext context;
	EchoMessage item;

	for (auto reader = stub->Repeat(&context, *request); reader->Read(&item);)
		Count();
}

} // namespace

int main(int argc, char **argv)
{
	if (argc != 6)
		return 2;
	const std::string form = argv[3];
	const size_t n = std::strtoul(argv[4], nullptr, 10);
	std::vector<std::unique_ptr<EchoService::Stub>> stubs;
	for (auto &channel : Channels(argv[1], std::strtoul(argv[5], nullptr, 10)))
		stubs.push_back(EchoService::NewStub(channel));
	RepeatRequest request;
	request.set_payload(std::string(kPayloadBytes, '\0'));
	request.set_count(UINT64_MAX);

	std::list<Reader> readers;
	std::list<QueueReader> streams;
	std::vector<grpc::CompletionQueue> queues(stubs.size() < 2 ? 1 : 2);
	if (form == "queues")
		for (auto &queue : queues)
			std::thread(RunQueue, &queue).detach();
	for (size_t i = 0; i < n; i++) {
		auto *stub = stubs[i % stubs.size()].get();
		if (form == "callbacks") {
			readers.emplace_back().Open(stub, &request);
		} else if (form == "queues") {
			auto &stream = streams.emplace_back();
			stream.reader = stub->PrepareAsyncRepeat(&stream.context, request, &queues[i % queues.size()]);
			stream.reader->StartCall(&stream);
		} else {
			std::thread(RunThread, stub, &request).detach();
		}
	}
	load_print_growth(&n_items, std::atof(argv[2]));
	std::fflush(stdout);
	std::_Exit(0); // the streams never end
}
