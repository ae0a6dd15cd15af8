// Keeps a number of echo calls under way on gRPC C++'s completion queues: its fastest client.
//
//     grpc_load ADDRESS OUTSTANDING SECONDS CHANNELS      a queue and a thread a channel, at most two
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

extern "C" {
#include "../load.h"
}
#include "peer.grpc.pb.h"

using peer::v1::EchoMessage;
using peer::v1::EchoService;

namespace {

constexpr size_t kPayloadBytes = 128;
struct load counted;
std::mutex mutex;

struct Call {
	EchoService::Stub *stub;
	grpc::CompletionQueue *queue;
	std::unique_ptr<grpc::ClientContext> context;
	std::unique_ptr<grpc::ClientAsyncResponseReader<EchoMessage>> reader;
	EchoMessage request, response;
	grpc::Status status;
	int64_t began_us;

	void Start()
	{
		context = std::make_unique<grpc::ClientContext>();
		began_us = load_now_us();
		reader = stub->AsyncEcho(context.get(), request, queue);
		reader->Finish(&response, &status, this);
	}
};

void Run(grpc::CompletionQueue *queue, size_t under_way)
{
	void *tag;
	bool ok;

	while (under_way > 0 && queue->Next(&tag, &ok)) {
		auto *call = static_cast<Call *>(tag);
		bool more;
		{
			std::lock_guard<std::mutex> lock(mutex);
			more = load_count(&counted, call->began_us, ok && call->status.ok());
		}
		if (more)
			call->Start();
		else
			under_way--;
	}
}

} // namespace

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	const size_t outstanding = std::strtoul(argv[2], nullptr, 10);
	const size_t n_channels = std::strtoul(argv[4], nullptr, 10);
	const size_t n_queues = n_channels < 2 ? 1 : 2;
	std::vector<std::unique_ptr<EchoService::Stub>> stubs;
	for (size_t i = 0; i < n_channels; i++) {
		grpc::ChannelArguments arguments;
		arguments.SetInt("channel", static_cast<int>(i)); // or they would share one connection
		stubs.push_back(EchoService::NewStub(
				grpc::CreateCustomChannel(argv[1], grpc::InsecureChannelCredentials(), arguments)));
	}
	std::vector<grpc::CompletionQueue> queues(n_queues);
	std::vector<std::unique_ptr<Call>> calls;
	std::vector<size_t> under_way(n_queues);
	for (size_t i = 0; i < outstanding; i++) {
		calls.push_back(std::make_unique<Call>());
		calls[i]->stub = stubs[i % n_channels].get();
		calls[i]->queue = &queues[i % n_queues];
		calls[i]->request.set_payload(std::string(kPayloadBytes, '\0'));
		under_way[i % n_queues]++;
	}
	load_start(&counted, std::atof(argv[3]));
	for (auto &call : calls)
		call->Start();
	std::vector<std::thread> threads;
	for (size_t i = 0; i < n_queues; i++)
		threads.emplace_back(Run, &queues[i], under_way[i]);
	for (auto &thread : threads)
		thread.join();
	load_print(&counted);
	return counted.n_failed == 0 ? 0 : 1;
}
