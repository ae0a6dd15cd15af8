// Echo calls of gRPC C++, in each form its clients know.
//
//     echo_load ADDRESS SECONDS queues N CHANNELS        keeps N under way on completion queues
//     echo_load ADDRESS SECONDS callbacks N CHANNELS     the same by callbacks
//     echo_load ADDRESS SECONDS threads N CHANNELS       N threads, a blocking call each
//     echo_load ADDRESS SECONDS rate N CHANNELS          starts N a second on a completion queue
//
// A queue and a thread a channel, at most two: more threads than processors make it slower.
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
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

namespace {

constexpr size_t kPayloadBytes = 128;
struct load counted;
std::mutex mutex;
std::vector<std::unique_ptr<EchoService::Stub>> stubs;
const std::string payload(kPayloadBytes, '\0');

bool Count(int64_t began_us, bool ok)
{
	std::lock_guard<std::mutex> lock(mutex);
	return load_count(&counted, began_us, ok);
}

struct Call {
	EchoService::Stub *stub;
	std::unique_ptr<grpc::ClientContext> context;
	std::unique_ptr<grpc::ClientAsyncResponseReader<EchoMessage>> reader;
	EchoMessage request, response;
	grpc::Status status;
	int64_t began_us;

	explicit Call(EchoService::Stub *on) : stub(on) { request.set_payload(payload); }

	void Begin()
	{
		context = std::make_unique<grpc::ClientContext>();
		began_us = load_now_us();
	}

	void StartOn(grpc::CompletionQueue *queue)
	{
		Begin();
		reader = stub->AsyncEcho(context.get(), request, queue);
		reader->Finish(&response, &status, this);
	}
};

void RunQueue(grpc::CompletionQueue *queue, std::vector<Call *> calls)
{
	size_t under_way = calls.size();
	void *tag;
	bool ok;

	for (auto *call : calls)
		call->StartOn(queue);
	while (under_way > 0 && queue->Next(&tag, &ok)) {
		auto *call = static_cast<Call *>(tag);
		if (Count(call->began_us, ok && call->status.ok()))
			call->StartOn(queue);
		else
			under_way--;
	}
}

void RunQueues(size_t n)
{
	std::vector<grpc::CompletionQueue> queues(stubs.size() < 2 ? 1 : 2);
	std::vector<std::vector<Call *>> calls(queues.size());
	std::list<Call> all;
	std::vector<std::thread> threads;

	for (size_t i = 0; i < n; i++)
		calls[i % queues.size()].push_back(&all.emplace_back(stubs[i % stubs.size()].get()));
	for (size_t i = 0; i < queues.size(); i++)
		threads.emplace_back(RunQueue, &queues[i], calls[i]);
	for (auto &thread : threads)
		thread.join();
}

void RunCallbacks(size_t n)
{
	std::list<Call> calls;
	std::condition_variable idle;
	size_t under_way = n;
	std::function<void(Call *)> start = [&](Call *call) {
		call->Begin();
		call->stub->async()->Echo(call->context.get(), &call->request, &call->response, [&, call](grpc::Status status) {
			if (Count(call->began_us, status.ok()))
				return start(call);
			std::lock_guard<std::mutex> lock(mutex);
			if (--under_way == 0)
				idle.notify_one();
		});
	};

	for (size_t i = 0; i < n; i++)
		start(&calls.emplace_back(stubs[i % stubs.size()].get()));
	std::unique_lock<std::mutex> lock(mutex);
	idle.wait(lock, [&] { return under_way == 0; });
}

void RunThreads(size_t n)
{
	std::vector<std::thread> threads;

	for (size_t i = 0; i < n; i++)
		threads.emplace_back([i] {
			Call call(stubs[i % stubs.size()].get());
			do {
				call.Begin();
				call.status = call.stub->Echo(call.context.get(), call.request, &call.response);
			} while (Count(call.began_us, call.status.ok()));
		});
	for (auto &thread : threads)
		thread.join();
}

grpc::CompletionQueue paced;
size_t n_started;

void StartOne()
{
	(new Call(stubs[n_started++ % stubs.size()].get()))->StartOn(&paced);
}

void RunRate(double per_second)
{
	std::thread ending([] {
		void *tag;
		bool ok;
		while (paced.Next(&tag, &ok)) {
			std::unique_ptr<Call> call(static_cast<Call *>(tag));
			Count(call->began_us, ok && call->status.ok());
		}
	});

	load_pace(&counted, per_second, StartOne);
	paced.Shutdown(); // Next() still gives back what is under way
	ending.join();
}

} // namespace

int main(int argc, char **argv)
{
	if (argc != 6)
		return 2;
	const std::string form = argv[3];
	const size_t n = std::strtoul(argv[4], nullptr, 10);
	for (auto &channel : Channels(argv[1], std::strtoul(argv[5], nullptr, 10)))
		stubs.push_back(EchoService::NewStub(channel));
	load_start(&counted, std::atof(argv[2]));
	if (form == "queues")
		RunQueues(n);
	else if (form == "callbacks")
		RunCallbacks(n);
	else if (form == "threads")
		RunThreads(n);
	else
		RunRate(static_cast<double>(n));
	load_print(&counted);
	return counted.n_failed == 0 ? 0 : 1;
}
