"""Classes of protobuf's messages from a table instead of generated code, each in a pool of its own.

So they may have the names of somebody else's in the same process. Fields that a table leaves out
stay what they are in what was read.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass


def message_classes(
    package: str,
    messages: str,
    *,
    syntax: str,
    choices: Collection[str] = (),
    enum: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the classes of messages by name.

    Args:
        package: The protobuf package.
        messages: A line for each, and further ones with four spaces before them: its name, and
            behind a colon its fields with name, number and type. Types in capitals are messages, a
            star means many, and ``map.X`` is a map from texts to messages X.
        syntax: ``proto2`` or ``proto3``.
        choices: Messages of which exactly one field is set.
        enum: Names of the numbers, from 0, of fields of the type ``enum``.
    """
    file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax=syntax)
    if enum:
        kinds = file.enum_type.add(name="Enum")
        for place, name in enumerate(enum):
            kinds.value.add(name=name, number=place)
    for line in messages.replace("\n    ", " ").splitlines():
        name, _, fields = line.partition(": ")
        message = file.message_type.add(name=name)
        if name in choices:
            message.oneof_decl.add(name="choice")
        for described in filter(None, fields.split(", ")):
            field, number, kind = described.split()
            entry = message.field.add(name=field, number=int(number))
            _set_type(entry, kind, message, package)
            if name in choices:
                entry.oneof_index = 0
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    found = pool.FindFileByName(file.name).message_types_by_name
    return {name: GetMessageClass(descriptor) for name, descriptor in found.items()}


def _set_type(entry: FieldDescriptorProto, kind: str, message: Any, package: str) -> None:
    """Give a field its type; a map is many messages of a key and a value."""
    many = FieldDescriptorProto.LABEL_REPEATED
    entry.label = many if kind.endswith("*") else FieldDescriptorProto.LABEL_OPTIONAL
    kind = kind.removesuffix("*")
    if kind.startswith("map."):
        pair = message.nested_type.add(name=f"{entry.name.title()}Entry")
        pair.options.map_entry = True
        _set_type(pair.field.add(name="key", number=1), "string", pair, package)
        _set_type(pair.field.add(name="value", number=2), kind.removeprefix("map."), pair, package)
        entry.label, entry.type = many, FieldDescriptorProto.TYPE_MESSAGE
        entry.type_name = f".{package}.{message.name}.{pair.name}"
    elif kind == "enum":
        entry.type, entry.type_name = FieldDescriptorProto.TYPE_ENUM, f".{package}.Enum"
    elif kind[0].isupper():
        entry.type, entry.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{package}.{kind}"
    else:
        entry.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
