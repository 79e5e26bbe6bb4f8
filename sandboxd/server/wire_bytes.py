"""From the bytes of a request to its message: what is none is refused by field, not by gRPC; pure.

protobuf only says that some text is no UTF-8; this finds out which, by the message's descriptor.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet

from sandboxd.errors import JobError, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

WHOLE_REQUEST = "request"
"""What a violation names when the bytes are no message at all."""
MAX_NAMED = 64
MAX_LOOKED_AT = 1 << 16
"""Fields of a broken message in which its fault is looked for; each costs some microseconds."""
"""As many fields at fault are looked for; a status could not carry more."""


def request_from(descriptor: Descriptor, data: bytes) -> Message:
    """Give the message of this type that the bytes are.

    Raises:
        JobError: they are none; each text that is no UTF-8 is named by its path in the request.

    """
    try:
        return GetMessageClass(descriptor).FromString(data)
    except DecodeError:
        paths = islice(_bad_texts(descriptor, data, ""), MAX_NAMED)
        violations = [Violation(path, "must be valid UTF-8") for path in paths]
    whole = Violation(WHOLE_REQUEST, f"must be a valid message of type {descriptor.full_name}")
    raise JobError(*(violations or (whole,)))


def _bad_texts(descriptor: Descriptor, data: bytes, prefix: str) -> Iterator[str]:
    """Give the paths of all text in a message that is no UTF-8; of a map only its own."""
    try:
        found: Any = UnknownFieldSet(Empty.FromString(data))  # to Empty every field is unknown
    except DecodeError:
        return
    count: dict[int, int] = {}
    for unknown in islice(found, MAX_LOOKED_AT):
        field = descriptor.fields_by_number.get(unknown.field_number)
        if field is None or not isinstance(unknown.data, bytes):
            continue
        index = count[field.number] = count.get(field.number, -1) + 1
        path = f"{prefix}{field.name}" + (f"[{index}]" if field.is_repeated else "")
        if field.type == FieldDescriptor.TYPE_STRING and not _is_text(unknown.data):
            yield path
        inner = field.message_type
        if inner is None:
            continue
        if inner.GetOptions().map_entry:
            if any(_bad_texts(inner, unknown.data, "")):
                yield f"{prefix}{field.name}"
        else:
            yield from _bad_texts(inner, unknown.data, f"{path}.")


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
