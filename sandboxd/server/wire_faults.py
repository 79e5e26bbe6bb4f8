"""Between errors, the faults that tell of them later, and their messages; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.rpc.error_details_pb2 import ErrorInfo

from sandboxd.model.outcome import Fault
from sandboxd.server.wire_errors import status_of
from sandboxd.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from sandboxd.errors import SandboxdError


def fault_of(error: SandboxdError) -> Fault:
    """Give the fault that tells an error."""
    status, info = status_of(error), ErrorInfo()
    status.details[0].Unpack(info)
    return Fault(info.reason, status.message, dict(info.metadata))


def from_fault(fault: Fault) -> pb.Fault:
    """Give the message that carries a fault."""
    return pb.Fault(reason=fault.reason, message=fault.message, metadata=fault.metadata)


def to_fault(message: pb.Fault) -> Fault:
    """Give the fault that a message carries."""
    return Fault(message.reason, message.message, dict(message.metadata))
