"""The records of the messages about studies: what was built for a destination, and what became of it."""

from __future__ import annotations

from dataclasses import replace

from triage.delivery.record import DeliveryRecord, DeliveryState, OutgoingObject
from triage.spool.entries import Entries, Place
from triage.spool.store import Store


class MessageRecords:
    """All reading and writing of delivery records, and of the bytes that were sent."""

    def __init__(self, spool: Store) -> None:
        self._spool = spool

    def of_study(self, study_instance_uid: str, destination: str | None = None) -> list[DeliveryRecord]:
        """Return the records of a study's messages, for one destination or all, in the order of building."""
        entries, begin = self._entries(study_instance_uid), f"{destination}+" if destination else ""
        names = [each for each in entries.names() if each.startswith(begin) and "+" in each and each.endswith(".json")]
        found = [DeliveryRecord.from_json(entries.get(each)) for each in names]
        return sorted(found, key=lambda each: (each.destination, each.number))

    def get(self, study_instance_uid: str, destination: str, number: int) -> DeliveryRecord:
        """Return one record. Raises FileNotFoundError if there is none."""
        return DeliveryRecord.from_json(self._entries(study_instance_uid).get(f"{destination}+{number:04d}.json"))

    def of(self, item: OutgoingObject) -> DeliveryRecord:
        """Return the record of a message's number. Raises FileNotFoundError if there is none."""
        return self.get(item.study_instance_uid, item.destination, item.number)

    def own(self, item: OutgoingObject) -> DeliveryRecord | None:
        """Return the record of a message; None if there is none, or that of another message of its number."""
        try:
            record = self.of(item)
        except FileNotFoundError:
            return None
        return record if record.revision == item.revision else None

    def after(self, item: OutgoingObject) -> set[DeliveryState]:
        """Return the states of the newer messages of its study to its destination."""
        records = self.of_study(item.study_instance_uid, item.destination)
        return {each.state for each in records if each.number > item.number}

    def put(self, study_instance_uid: str, record: DeliveryRecord, *, durable: bool = True) -> None:
        """Write a record."""
        entries = self._entries(study_instance_uid)
        entries.prepare()
        entries.put(f"{record.destination}+{record.number:04d}.json", record.to_json(), durable=durable)

    def settle(
        self, item: OutgoingObject, state: DeliveryState, outcome: str, detail: str, at: float
    ) -> DeliveryRecord:
        """Note an attempt's outcome and the state it leads to. Raises FileNotFoundError without a record."""
        record = replace(self.of(item).tried(outcome, detail, at), state=state)
        self.put(item.study_instance_uid, record)
        return record

    def place_of_sent(self, item: OutgoingObject) -> tuple[Place, str]:
        """Return the place and the name of a message's bytes, once they are acknowledged."""
        return self._entries(item.study_instance_uid).place, _sent(item)

    def sent(self, item: OutgoingObject) -> bytes | None:
        """Return the bytes of a message that was sent; None where they are not kept."""
        entries = self._entries(item.study_instance_uid)
        return entries.get(_sent(item)) if entries.has(_sent(item)) else None

    def _entries(self, study_instance_uid: str) -> Entries:
        return self._spool.study_entries(study_instance_uid, "deliveries")


def _sent(item: OutgoingObject) -> str:
    return f"{item.destination}+{item.number:04d}.sent"
