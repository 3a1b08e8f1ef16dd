"""What a file is, by its first bytes."""

from enum import Enum
from typing import BinaryIO

STARTS = (
    (b"GGUF", "GGUF"),
    (b"PK\x03\x04", "ZIP"),
    (b"\x89PNG", "PICTURE"),
    (b"\xff\xd8\xff", "PICTURE"),
    (b"RIFF", "PICTURE"),
    (b"GIF8", "PICTURE"),
    (b"\x89HDF", "HDF5"),
    (b"\x1f\x8b", "PACKED"),
    (b"<!DOCTYPE", "PAGE"),
    (b"<!doctype", "PAGE"),
    (b"<html", "PAGE"),
    (b"version https://git-lfs", "POINTER"),
    *((bytes([0x80, protocol]), "PICKLE") for protocol in range(1, 6)),
)


class Kind(Enum):
    """The kinds of file that are met under a checkpoint's name; the value is what a message calls it."""

    SAFETENSORS = "a safetensors file"
    GGUF = "a GGUF file"
    ZIP = "a zip file"
    PICKLE = "a pickle"
    PICTURE = "a picture"
    HDF5 = "an HDF5 file, as Keras writes"
    PACKED = "a gzip file"
    PAGE = "a web page"
    POINTER = "a pointer that git-lfs has not replaced by the file"
    EMPTY = "an empty file"


def kind_of(file: BinaryIO) -> Kind:
    """The kind that the first bytes speak for; what is unknown is read, and refused, as safetensors."""
    file.seek(0)
    start = file.read(32)
    if not start:
        return Kind.EMPTY
    if start[8:9] == b"{" and start[4:8] == bytes(4):  # a header of less than 4 GB
        return Kind.SAFETENSORS
    return next((Kind[name] for magic, name in STARTS if start.startswith(magic)), Kind.SAFETENSORS)
