// Holds many connections, each of which has made one call, or many open streams of one connection, and does nothing
// with them.
//
//     idle_load ADDRESS connections|streams N      prints "ready", ends with its standard input
#include <cstdlib>
#include <list>
#include <string>

#include "channels.h"
#include "peer.grpc.pb.h"

extern "C" {
#include "../load.h"
}

using peer::v1::EchoMessage;
using peer::v1::EchoService;

namespace {

struct Stream {
	grpc::ClientContext context;
	std::unique_ptr<grpc::ClientReader<EchoMessage>> reader;

	bool Open(EchoService::Stub *stub)
	{
		peer::v1::RepeatRequest request;
		EchoMessage item;
		request.set_count(1);
		request.set_stay_open(true);
		reader = stub->Repeat(&context, request);
		return reader->Read(&item);
	}
};

bool Call(EchoService::Stub *stub)
{
	grpc::ClientContext context;
	EchoMessage request, response;

	return stub->Echo(&context, request, &response).ok();
}

} // namespace

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	const bool streaming = std::string(argv[2]) == "streams";
	const size_t n = std::strtoul(argv[3], nullptr, 10);
	auto channels = Channels(argv[1], streaming ? 1 : n);
	for (auto &channel : channels)
		if (!Call(EchoService::NewStub(channel).get()))
			return 1;
	auto stub = EchoService::NewStub(channels[0]);
	std::list<Stream> streams;
	while (streaming && streams.size() < n)
		if (!streams.emplace_back().Open(stub.get()))
			return 1;
	load_hold();
	std::_Exit(0);
}
