// Holds many connections, each of which has made one call, and does nothing with them.
//
//     idle_load ADDRESS connections N      prints "ready", ends with its standard input
#include <cstdlib>

#include "channels.h"
#include "peer.grpc.pb.h"

extern "C" {
#include "../load.h"
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	auto channels = Channels(argv[1], std::strtoul(argv[3], nullptr, 10));
	for (auto &channel : channels) {
		grpc::ClientContext context;
		peer::v1::EchoMessage request, response;
		if (!peer::v1::EchoService::NewStub(channel)->Echo(&context, request, &response).ok())
			return 1;
	}
	load_hold();
	std::_Exit(0);
}
