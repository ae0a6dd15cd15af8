// gRPC C++ as it is meant to be used: the callback server, or the completion-queue server with a queue and a
// thread a processor, both the forms its own benchmarks use.
//
//     grpc_server callback|queue ADDRESS      prints "ready ADDRESS", serves until TERM
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "peer.grpc.pb.h"

using peer::v1::EchoMessage;
using peer::v1::EchoService;
using peer::v1::RepeatRequest;

namespace {

// What Repeat has still to send.
struct Repetition {
	EchoMessage item;
	uint64_t left;
	bool stay_open;

	explicit Repetition(const RepeatRequest &request) : left(request.count()), stay_open(request.stay_open())
	{
		item.set_payload(request.payload());
	}
};

// ── callbacks ──────────────────────────────────────────────────────────────────────────────────────

class Writer final : public grpc::ServerWriteReactor<EchoMessage> {
public:
	explicit Writer(const RepeatRequest &request) : repetition_(request) { Next(); }

	void OnWriteDone(bool ok) override
	{
		if (ok)
			Next();
		else
			End(grpc::Status::CANCELLED);
	}

	void OnCancel() override
	{
		if (repetition_.left == 0) // or a write is under way, and fails
			End(grpc::Status::CANCELLED);
	}

	void OnDone() override { delete this; }

private:
	void Next()
	{
		if (repetition_.left > 0) {
			repetition_.left--;
			StartWrite(&repetition_.item);
		} else if (!repetition_.stay_open) {
			End(grpc::Status::OK);
		}
	}

	void End(const grpc::Status &status)
	{
		if (!ended_.exchange(true))
			Finish(status);
	}

	Repetition repetition_;
	std::atomic<bool> ended_{ false };
};

class CallbackEcho final : public EchoService::CallbackService {
	grpc::ServerUnaryReactor *Echo(grpc::CallbackServerContext *context, const EchoMessage *request,
			EchoMessage *response) override
	{
		response->set_payload(request->payload());
		auto *reactor = context->DefaultReactor();
		reactor->Finish(grpc::Status::OK);
		return reactor;
	}

	grpc::ServerWriteReactor<EchoMessage> *Repeat(grpc::CallbackServerContext *, const RepeatRequest *request) override
	{
		return new Writer(*request);
	}
};

// ── completion queues ──────────────────────────────────────────────────────────────────────────────

class Tag {
public:
	virtual ~Tag() = default;
	virtual void Proceed(bool ok) = 0;
};

// An Echo: waits to be requested, answers, waits again.
class QueueEcho final : public Tag {
public:
	QueueEcho(EchoService::AsyncService *service, grpc::ServerCompletionQueue *queue) : service_(service), queue_(queue)
	{
		Request();
	}

	void Proceed(bool ok) override
	{
		if (answered_ || !ok) {
			if (ok)
				Request();
			return;
		}
		answered_ = true;
		response_.set_payload(request_.payload());
		responder_->Finish(response_, grpc::Status::OK, this);
	}

private:
	void Request()
	{
		answered_ = false;
		responder_.reset();
		context_ = std::make_unique<grpc::ServerContext>();
		responder_ = std::make_unique<grpc::ServerAsyncResponseWriter<EchoMessage>>(context_.get());
		service_->RequestEcho(context_.get(), &request_, responder_.get(), queue_, queue_, this);
	}

	EchoService::AsyncService *service_;
	grpc::ServerCompletionQueue *queue_;
	std::unique_ptr<grpc::ServerContext> context_;
	std::unique_ptr<grpc::ServerAsyncResponseWriter<EchoMessage>> responder_;
	EchoMessage request_, response_;
	bool answered_ = false;
};

// A Repeat: waits to be requested, has another wait in its place, and writes.
class QueueRepeat final : public Tag {
public:
	QueueRepeat(EchoService::AsyncService *service, grpc::ServerCompletionQueue *queue)
		: service_(service), queue_(queue), writer_(&context_)
	{
		service->RequestRepeat(&context_, &request_, &writer_, queue, queue, this);
	}

	void Proceed(bool ok) override
	{
		if (!ok || ended_)
			return delete this;
		if (!repetition_) {
			new QueueRepeat(service_, queue_);
			repetition_ = std::make_unique<Repetition>(request_);
		}
		if (repetition_->left > 0) {
			repetition_->left--;
			writer_.Write(repetition_->item, this);
		} else if (!repetition_->stay_open) {
			ended_ = true;
			writer_.Finish(grpc::Status::OK, this);
		}
	}

private:
	EchoService::AsyncService *service_;
	grpc::ServerCompletionQueue *queue_;
	grpc::ServerContext context_;
	grpc::ServerAsyncWriter<EchoMessage> writer_;
	RepeatRequest request_;
	std::unique_ptr<Repetition> repetition_;
	bool ended_ = false;
};

constexpr int kEchoesPerQueue = 2000; // fewer registered calls are a slow path (grpc issue 9021)
constexpr int kRepeatsPerQueue = 100;

void Serve(EchoService::AsyncService *service, grpc::ServerCompletionQueue *queue)
{
	std::vector<std::unique_ptr<QueueEcho>> echoes;
	void *tag;
	bool ok;

	for (int i = 0; i < kEchoesPerQueue; i++)
		echoes.push_back(std::make_unique<QueueEcho>(service, queue));
	for (int i = 0; i < kRepeatsPerQueue; i++)
		new QueueRepeat(service, queue);
	while (queue->Next(&tag, &ok))
		static_cast<Tag *>(tag)->Proceed(ok);
}

} // namespace

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, nullptr);

	const std::string form = argv[1], address = argv[2];
	CallbackEcho callback;
	EchoService::AsyncService async;
	grpc::ServerBuilder builder;
	std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues;
	int port = 0;
	builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
	if (form == "queue") {
		builder.RegisterService(&async);
		for (unsigned i = 0; i < std::thread::hardware_concurrency(); i++)
			queues.push_back(builder.AddCompletionQueue());
	} else {
		builder.RegisterService(&callback);
	}
	std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
	if (!server)
		return 1;
	std::vector<std::thread> threads;
	for (auto &queue : queues)
		threads.emplace_back(Serve, &async, queue.get());
	const bool tcp = address.rfind("unix:", 0) != 0;
	std::printf("ready %s\n", tcp ? ("127.0.0.1:" + std::to_string(port)).c_str() : address.c_str());
	std::fflush(stdout);
	int signal;
	sigwait(&signals, &signal);
	std::_Exit(0); // what a queue still holds is of no interest
}
