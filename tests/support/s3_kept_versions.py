"""A bucket in memory that keeps versions: what S3 answers about them, as SeaweedFS 4.48 does."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from urllib.parse import parse_qs

from tests.support.s3_peer import Asked, KeptInMemory, Said, error


@dataclass
class KeptVersions(KeptInMemory):
    """``versions`` of each key, the last one last: a number, and the bytes or None for the marker of a deletion."""

    status: str = "Enabled"
    versions: dict[str, list[tuple[str, bytes | None]]] = field(default_factory=dict)
    numbers: count[int] = field(default_factory=count)

    def put(self, key: str, asked: Asked) -> Said:
        said = super().put(key, asked)
        if said.status == 200:
            self.versions.setdefault(key, []).append((str(next(self.numbers)), self.objects[key]))
        return said

    def delete(self, key: str, asked: Asked) -> Said:
        number = _words(asked).get("versionId")
        kept = self.versions.setdefault(key, [])
        if number is None:
            kept.append((str(next(self.numbers)), None))
        else:
            kept[:] = [each for each in kept if each[0] != number]
        self.objects.pop(key, None)
        if kept and kept[-1][1] is not None:
            self.objects[key] = kept[-1][1]
        return Said(204)

    def list(self, query: str, asked: Asked) -> Said:
        words = _words(asked)
        if "versioning" in words:
            status = f"<Status>{self.status}</Status>" if self.status else ""
            return Said(200, {}, f'<VersioningConfiguration xmlns="urn:s3">{status}</VersioningConfiguration>'.encode())
        if "versions" not in words:
            return super().list(query, asked)
        if not self.status:
            return error(501, "NotImplemented")
        return self._list_versions(words)

    def _list_versions(self, words: dict[str, str]) -> Said:
        items = [
            (
                key,
                number,
                f"<{kind}><Key>{key}</Key>{_version(number, latest)}</{kind}>",
            )
            for key in sorted(self.versions)
            if key.startswith(words["prefix"])
            for place, (number, content) in enumerate(reversed(self.versions[key]))
            for kind, latest in [("DeleteMarker" if content is None else "Version", str(place == 0).lower())]
        ]
        behind = [at for at, (_, number, _) in enumerate(items) if number == words.get("version-id-marker")]
        items = items[behind[0] + 1 :] if behind else items
        more = ""
        if len(items) > self.page:
            key, number, _ = items[self.page - 1]
            more = f"<NextKeyMarker>{key}</NextKeyMarker><NextVersionIdMarker>{number}</NextVersionIdMarker>"
        listed = "".join(item for *_, item in items[: self.page])
        return Said(200, {}, f'<ListVersionsResult xmlns="urn:s3">{listed}{more}</ListVersionsResult>'.encode())


def _version(number: str, latest: str) -> str:
    return f"<VersionId>{number}</VersionId><IsLatest>{latest}</IsLatest>"


def _words(asked: Asked) -> dict[str, str]:
    found = parse_qs(asked.target.partition("?")[2], keep_blank_values=True)
    return {name: values[0] for name, values in found.items()}
