// gRPC C++ as it is meant to be used: the callback server, or the completion-queue server with a queue and a
// thread a processor, both the forms its own benchmarks use.
//
//     grpc_server callback|queue ADDRESS      prints "ready ADDRESS", serves until TERM
#include <grpcpp/grpcpp.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "peer.grpc.pb.h"

using peer::v1::EchoMessage;
using peer::v1::EchoService;

namespace {

class CallbackEcho final : public EchoService::CallbackService {
	grpc::ServerUnaryReactor *Echo(grpc::CallbackServerContext *context, const EchoMessage *request,
			EchoMessage *response) override
	{
		response->set_payload(request->payload());
		auto *reactor = context->DefaultReactor();
		reactor->Finish(grpc::Status::OK);
		return reactor;
	}
};

// One call on a completion queue: waits to be requested, answers, waits again.
class QueueCall {
public:
	QueueCall(EchoService::AsyncService *service, grpc::ServerCompletionQueue *queue) : service_(service), queue_(queue)
	{
		Request();
	}

	void Proceed(bool ok)
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

constexpr int kCallsPerQueue = 2000; // fewer registered calls are a slow path (grpc issue 9021)

void Serve(EchoService::AsyncService *service, grpc::ServerCompletionQueue *queue)
{
	std::vector<std::unique_ptr<QueueCall>> calls;
	void *tag;
	bool ok;

	for (int i = 0; i < kCallsPerQueue; i++)
		calls.push_back(std::make_unique<QueueCall>(service, queue));
	while (queue->Next(&tag, &ok))
		static_cast<QueueCall *>(tag)->Proceed(ok);
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
