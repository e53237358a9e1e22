"""What an index holds. Every change replaces one immutable value, so that a server that reads it in
another thread sees the old or the new, and never something between.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

from mirror.cli.wheels import Artifact
from tests.world import serving
from tests.world.pages import CoreMetadata, Held, Marker


class Shelf:
    """Files by place, and the status markers of their projects."""

    def __init__(self, files: str, *, hashed: bool) -> None:
        self.files = files
        self._hashed = hashed
        self._places: Mapping[str, Held] = {}
        self._markers: Mapping[str, Marker] = {}

    @property
    def held(self) -> tuple[Held, ...]:
        """The files, in the order in which they were added."""
        return tuple(self._places.values())

    @property
    def projects(self) -> list[str]:
        """The normalised names of the projects, in order."""
        return sorted({held.project for held in self._places.values()} | set(self._markers))

    def at(self, path: str) -> Held | None:
        """The file at this canonical path."""
        return self._places.get(path)

    def offered(self, project: str) -> tuple[list[Held], Marker | None]:
        """The files on a project's page, and its marker. A quarantined one offers none."""
        marker = self._markers.get(project)
        if marker is not None and marker.status == "quarantined":
            return [], marker
        return [held for held in self._places.values() if held.project == project], marker

    def add(
        self,
        artifact: Artifact,
        *,
        digests: Sequence[str] | Mapping[str, str] = ("sha256",),
        yanked: bool | str | None = None,
        requires_python: str | None = None,
        core_metadata: CoreMetadata = False,
        size: bool | int = True,
        upload_time: str | None = None,
        project: str | None = None,
        url: str | None = None,
        filename: str | None = None,
        at: str | None = None,
        redirect: str | None = None,
    ) -> Held:
        """Put a file on its project's page; another at the same place is replaced.

        `digests` names algorithms, or gives the digests themselves. `url` is the link to write
        instead of the true one, `at` the path under the files path, `redirect` where a request
        for the bytes is sent on to. `project` and `filename` override what the artifact says.
        """
        shown = filename or artifact.filename
        owner, version = _parsed(artifact.filename)
        if not isinstance(digests, Mapping):
            digests = {a: hashlib.new(a, artifact.content).hexdigest() for a in digests}
        place = at or (f"{artifact.sha256}/{shown}" if self._hashed else shown)
        held = Held(
            shown,
            canonicalize_name(project or owner),
            version,
            f"{self.files}/{place}",
            artifact.content,
            artifact.metadata,
            digests,
            yanked,
            requires_python,
            core_metadata,
            size,
            upload_time,
            url,
            redirect,
        )
        self._places = {**self._places, serving.canonical(held.path): held}
        return held

    def remove(self, filename: str) -> None:
        """Take a file off the index, page and bytes."""
        self._places = {path: held for path, held in self._places.items() if held.filename != filename}

    def yank(self, filename: str, reason: bool | str = True) -> None:
        """Mark a file as yanked (PEP 592), with a reason or without."""
        self._change(filename, reason)

    def unyank(self, filename: str) -> None:
        """Take the yank back."""
        self._change(filename, False)

    def status(self, status: str | None, reason: str | None = None, *, project: str | None = None) -> None:
        """Set a status marker (PEP 792) on one project or on all; None takes it off.

        A quarantined project offers no files.
        """
        names = [canonicalize_name(project)] if project else self.projects
        markers = {name: m for name, m in self._markers.items() if name not in names}
        if status is not None:
            markers.update(dict.fromkeys(names, Marker(status, reason)))
        self._markers = markers

    def _change(self, filename: str, yanked: bool | str) -> None:
        self._places = {
            path: replace(held, yanked=yanked) if held.filename == filename else held
            for path, held in self._places.items()
        }


def _parsed(filename: str) -> tuple[str, str]:
    if filename.endswith(".whl"):
        name, version, _, _ = parse_wheel_filename(filename)
    else:
        name, version = parse_sdist_filename(filename)
    return name, str(version)
