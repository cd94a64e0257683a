"""Reader of A-ASSOCIATE-RQ and writer of A-ASSOCIATE-AC, for the acceptor (PS3.8 9.3.2 and 9.3.3).

Not pynetdicom's: it refuses the whole association for a fault of one name, one context or one item, and quotes in its
log what it does not understand. Here only what cannot be used is left out, and nothing is logged.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from triage.dicom.uid import InvalidUIDError, valid_uid
from triage.errors import TriageError

APPLICATION_CONTEXT_NAME = "1.2.840.10008.3.1.1.1"

# Results of a presentation context, PS3.8 table 9-18.
ACCEPTANCE, USER_REJECTION, NO_REASON, NO_ABSTRACT_SYNTAX, NO_TRANSFER_SYNTAX = 0, 1, 2, 3, 4

_FIXED = struct.Struct(">HH16s16s32s")
_ITEM = struct.Struct(">BxH")
_APPLICATION, _PROPOSED, _RESULT, _USER = 0x10, 0x20, 0x21, 0x50
_ABSTRACT, _TRANSFER = 0x30, 0x40
_MAXIMUM_LENGTH, _CLASS_UID, _ROLES, _VERSION_NAME = 0x51, 0x52, 0x54, 0x55
_IMPLICIT = "1.2.840.10008.1.2"


class MalformedRequestError(TriageError, ValueError):
    """Bytes that are no A-ASSOCIATE-RQ. The message quotes nothing of them."""


@dataclass(frozen=True)
class ProposedContext:
    """A presentation context as proposed.

    ``abstract_syntax`` is empty if it is no UID; ``transfer_syntaxes`` are those that are UIDs. ``usable``: its
    identifier is an odd number that no other context has, and its items are whole.
    """

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]
    usable: bool = True


@dataclass(frozen=True)
class ContextResult:
    """The result for a proposed context (PS3.8 table 9-18). ``transfer_syntax`` is empty unless it is accepted."""

    context_id: int
    result: int
    transfer_syntax: str = ""


@dataclass(frozen=True)
class AssociationRequest:
    """An A-ASSOCIATE-RQ.

    ``max_pdu`` is the largest PDU that the peer takes, in bytes, 0 for any. ``roles``: SOP classes, and whether the
    peer proposes to be SCU and SCP of each (PS3.7 D.3.3.4). ``echoed``: the fields that the response repeats.
    """

    calling_ae_title: str
    called_ae_title: str
    application_context: str
    contexts: tuple[ProposedContext, ...]
    max_pdu: int = 0
    roles: tuple[tuple[str, bool, bool], ...] = ()
    echoed: bytes = bytes(64)


def read_request(body: bytes) -> AssociationRequest:
    """Read the body of an A-ASSOCIATE-RQ, without the header of the PDU. Raises MalformedRequestError.

    Items of unknown types are skipped (PS3.8 9.3.1), and so are faults within one item.
    """
    if len(body) < _FIXED.size:
        raise MalformedRequestError(f"an A-ASSOCIATE-RQ of {len(body)} bytes")
    _, _, called, calling, reserved = _FIXED.unpack_from(body)
    items = list(_items(body[_FIXED.size :]))
    users = [item for kind, content in items if kind == _USER for item in _whole_items(content)]
    return AssociationRequest(
        calling_ae_title=_ae_title(calling),
        called_ae_title=_ae_title(called),
        application_context=next((_uid(content) for kind, content in items if kind == _APPLICATION), ""),
        contexts=_contexts([content for kind, content in items if kind == _PROPOSED]),
        max_pdu=next(
            (int.from_bytes(each, "big") for kind, each in users if kind == _MAXIMUM_LENGTH and len(each) == 4), 0
        ),
        roles=tuple(role for kind, content in users if kind == _ROLES for role in _role(content)),
        echoed=called + calling + reserved,
    )


def acceptance(
    request: AssociationRequest,
    results: Sequence[ContextResult],
    roles: Sequence[tuple[str, bool, bool]],
    max_pdu: int,
    implementation: tuple[str, str],
) -> bytes:
    """Return the A-ASSOCIATE-AC that answers ``request``, a whole PDU.

    Args:
        request: The request.
        results: One for each proposed context.
        roles: The roles that we accept, as in ``AssociationRequest.roles``.
        max_pdu: The largest PDU that we take, in bytes.
        implementation: Our implementation class UID and version name.
    """
    users = _item(_MAXIMUM_LENGTH, struct.pack(">L", max_pdu)) + _item(_CLASS_UID, implementation[0].encode())
    for uid, scu, scp in roles:
        name = uid.encode()
        users += _item(_ROLES, struct.pack(">H", len(name)) + name + bytes([scu, scp]))
    users += _item(_VERSION_NAME, implementation[1].encode())
    body = struct.pack(">HH", 1, 0) + request.echoed + _item(_APPLICATION, APPLICATION_CONTEXT_NAME.encode())
    body += b"".join(_result_item(each) for each in results) + _item(_USER, users)
    return struct.pack(">BxL", 0x02, len(body)) + body


def _result_item(result: ContextResult) -> bytes:
    syntax = _item(_TRANSFER, (result.transfer_syntax or _IMPLICIT).encode())
    return _item(_RESULT, bytes([result.context_id, 0, result.result, 0]) + syntax)


def _item(kind: int, content: bytes) -> bytes:
    return _ITEM.pack(kind, len(content)) + content


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and content of each item. Raises MalformedRequestError for one that is longer than what holds it."""
    at = 0
    while len(data) - at >= _ITEM.size:
        kind, length = _ITEM.unpack_from(data, at)
        at += _ITEM.size
        if at + length > len(data):
            raise MalformedRequestError("an item of an A-ASSOCIATE-RQ is longer than what holds it")
        yield kind, data[at : at + length]
        at += length
    if data[at:].strip(b"\0"):
        raise MalformedRequestError("an A-ASSOCIATE-RQ ends within an item")


def _whole_items(data: bytes) -> list[tuple[int, bytes]]:
    """Return the items before the first that does not fit."""
    items = []
    with suppress(MalformedRequestError):
        for item in _items(data):
            items.append(item)
    return items


def _contexts(items: Sequence[bytes]) -> tuple[ProposedContext, ...]:
    """Return one context for each identifier. Those that share one cannot be told apart, and are not usable."""
    times = Counter(content[0] for content in items if content)
    known: dict[int, ProposedContext] = {}
    for content in items:
        if content:
            known.setdefault(content[0], _context(content, times[content[0]] == 1))
    return tuple(known[number] for number in sorted(known))


def _context(content: bytes, alone: bool) -> ProposedContext:
    number = content[0]
    whole = len(content) >= 4
    try:
        items = list(_items(content[4:]))
    except MalformedRequestError:
        items, whole = [], False
    abstract = [_uid(each) for kind, each in items if kind == _ABSTRACT]
    transfer = (_uid(each) for kind, each in items if kind == _TRANSFER)
    return ProposedContext(
        number,
        abstract[0] if len(abstract) == 1 else "",
        tuple(uid for uid in transfer if uid),
        usable=alone and whole and number % 2 == 1,
    )


def _role(content: bytes) -> list[tuple[str, bool, bool]]:
    """Return SOP class, SCU role and SCP role (PS3.7 D.3.3.4.1); nothing if the item is not whole."""
    length = int.from_bytes(content[:2], "big")
    uid = _uid(content[2 : 2 + length])
    flags = content[2 + length :]
    return [(uid, flags[0] == 1, flags[1] == 1)] if uid and len(flags) >= 2 else []


def _uid(content: bytes) -> str:
    """Return a UID without its padding; empty if it is none."""
    try:
        return valid_uid(content.decode("ascii", "replace").strip("\0 "))
    except InvalidUIDError:
        return ""


def _ae_title(field: bytes) -> str:
    """Return an AE title without its padding of spaces or NULs; ``?`` for characters that none has (PS3.5 6.2)."""
    text = field.partition(b"\0")[0].decode("latin-1").strip(" ")
    return "".join(each if " " <= each <= "~" and each != "\\" else "?" for each in text)
