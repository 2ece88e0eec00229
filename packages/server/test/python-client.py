"""Calls the counter over gRPC, as a program in another language: python-client.py ADDRESS DESCRIPTORS."""

import json
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

address, descriptors = sys.argv[1:]
files = descriptor_pb2.FileDescriptorSet()
with open(descriptors, "rb") as file:
    files.ParseFromString(file.read())
pool = descriptor_pool.DescriptorPool()
for file in files.file:
    pool.Add(file)


def message(name):
    descriptor = pool.FindMessageTypeByName("homing.v1." + name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


CallRequest, CallReply = message("CallRequest"), message("CallReply")
channel = grpc.insecure_channel(address)
rpc = channel.unary_unary(
    "/homing.v1.Objects/Call",
    request_serializer=CallRequest.SerializeToString,
    response_deserializer=CallReply.FromString,
)


def call(name, method, *args, request_id="", namespace="COUNTER"):
    request = CallRequest(method=method, request_id=request_id)
    request.object.namespace = namespace
    request.object.name = name
    for arg in args:
        request.args.add().number_value = arg
    try:
        reply = rpc(request, timeout=10)
        return {"result": reply.result.number_value, "replayed": reply.replayed, "node": reply.owner_node}
    except grpc.RpcError as error:
        return {"error": error.code().name, "details": error.details()}


print(
    json.dumps(
        [
            call("python", "increment", 5),
            call("python", "increment", 2, request_id="retry-1"),
            call("python", "increment", 2, request_id="retry-1"),
            call("python", "value"),
            call("python", "missing"),
            call("python", "value", namespace="NOWHERE"),
        ]
    )
)
