// Connections of gRPC's own: channels with equal arguments would share one.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

inline std::vector<std::shared_ptr<grpc::Channel>> Channels(const std::string &address, size_t n)
{
	std::vector<std::shared_ptr<grpc::Channel>> channels;
	grpc::ChannelArguments arguments;

	arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
	for (size_t i = 0; i < n; i++)
		channels.push_back(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
	return channels;
}
