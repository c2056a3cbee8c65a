"""A client that nobody of this project wrote the stubs of: it asks the server
what it serves (gRPC reflection), then makes, finds, ends and deletes a guest.

usage: third_party.py HOST:PORT NAME
"""

import sys
import time

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

PATIENCE = 300


class Service:
    """A service whose methods are called by name, with messages as dicts."""

    def __init__(self, channel, pool, name):
        self.channel = channel
        self.descriptor = pool.FindServiceByName(name)

    def __call__(self, method, **fields):
        found = self.descriptor.methods_by_name[method]
        request = message_factory.GetMessageClass(found.input_type)()
        reply = message_factory.GetMessageClass(found.output_type)
        json_format.ParseDict(fields, request)
        call = self.channel.unary_unary(
            f"/{self.descriptor.full_name}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=reply.FromString,
        )
        answer = call(request, timeout=PATIENCE)
        return json_format.MessageToDict(answer, preserving_proto_field_name=True)


def follow(tasks, reply):
    """Waits for the task of a reply."""
    until = time.monotonic() + PATIENCE
    task = reply["task"]
    while task["state"] in ("TASK_STATE_RUNNING", "TASK_STATE_UNDOING"):
        assert time.monotonic() < until, task
        time.sleep(0.2)
        task = tasks("GetTask", id=task["id"])
    assert task["state"] == "TASK_STATE_SUCCEEDED", task


def main():
    address, name = sys.argv[1:]
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = set(database.get_services())
        wanted = {"xlfs.v1.DomainService", "xlfs.v1.TaskService"}
        assert wanted <= services, services
        pool = descriptor_pool.DescriptorPool(database)
        domains = Service(channel, pool, "xlfs.v1.DomainService")
        tasks = Service(channel, pool, "xlfs.v1.TaskService")

        create = {"name": name, "template": "minimal", "memory_mib": 96}
        follow(tasks, domains("CreateDomain", **create))
        ready = domains(
            "WaitDomain",
            name=name,
            console_contains=f"xlfs-guest-ready {name}",
            timeout=f"{PATIENCE}s",
        )
        assert ready["state"] == "DOMAIN_STATE_RUNNING", ready
        try:
            domains("CreateDomain", **create)
            raise AssertionError("a name was taken twice")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.ALREADY_EXISTS, error
        names = [domain["name"] for domain in domains("ListDomains")["domains"]]
        assert name in names, names
        follow(tasks, domains("DestroyDomain", name=name))
        follow(tasks, domains("DeleteDomain", name=name))
        try:
            domains("GetDomain", name=name)
            raise AssertionError("a deleted guest is still there")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND, error
    print("third party is content")


main()
