"""Snapshots: the homes of machines, kept in LOCAL_DIR/.images/<id>/ for machines to be made from.

An image appears and disappears by a rename, like a machine; until then it is in the machine's folder, and goes with
that if its maker is killed. It is a tar archive. What cannot be in one (sockets), and what vanishes while it is made,
is left out, since the machine goes on meanwhile.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from imframework.api.errors import CloudRefused

from .folder import Folder, fsync_folder

if TYPE_CHECKING:
    from .site import Site

_ID = re.compile(r"[0-9a-f]{16}")
_URL = re.compile(rf"local://localhost/images/({_ID.pattern})", re.IGNORECASE)


def url(image: str) -> str:
    """The address of an image."""
    return f"local://localhost/images/{image}"


def id_of(url: str) -> str:
    """The id of the image at an address; empty if that is none of a snapshot."""
    match = _URL.fullmatch(url)
    return match[1].lower() if match else ""


def is_id(text: object) -> bool:
    """Whether a text can be the id of an image, or of a machine: these are alike."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def name(site: Site, image: str) -> str | None:
    """The name that an image was given; None if there is no such image."""
    try:
        return (_folder(site) / image / "name").read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None


def listed(site: Site) -> Iterator[tuple[str, str]]:
    """Ids and names of all images."""
    with suppress(FileNotFoundError):
        for image in sorted(os.listdir(_folder(site))):
            if not image.startswith(".") and (title := name(site, image)) is not None:
                yield image, title


def make(site: Site, image: str, title: str, machine: Folder) -> None:
    """Make an image of a machine's home, unless there is that image.

    Raises:
        imframework.api.errors.CloudRefused: there is no such machine, or some of its files cannot be read.
    """
    if name(site, image) is not None:
        return
    try:
        with machine.locked():
            if name(site, image) is not None:  # somebody else has made it meanwhile
                return
            new = machine.path / f"image-{image}"
            _remove(new)
            new.mkdir(mode=0o700)
            _write(new, title, machine.home)
            _folder(site).mkdir(mode=0o700, exist_ok=True)
            os.replace(new, _folder(site) / image)
            fsync_folder(_folder(site))
    except FileNotFoundError:
        raise CloudRefused("There is no such machine.") from None
    except PermissionError:
        raise CloudRefused("The home of the machine has files that the service cannot read.") from None


def _write(new: Path, title: str, home: Path) -> None:
    (new / "name").write_text(title, encoding="utf-8")
    with open(new / "home.tar", "wb") as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for parent, folders, files in os.walk(home, onerror=_tell):
                for each in sorted((*folders, *files)):
                    path = os.path.join(parent, each)
                    with suppress(FileNotFoundError):
                        archive.add(path, os.path.relpath(path, home), recursive=False)
        file.flush()
        os.fsync(file.fileno())


def _tell(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def unpack(site: Site, image: str, home: Path) -> None:
    """Fill the home of a new machine with what an image holds.

    Raises:
        imframework.api.errors.CloudRefused: there is no such image.
    """
    if not is_id(image):
        raise CloudRefused("There is no such image.")
    try:
        with tarfile.open(_folder(site) / image / "home.tar") as archive:
            if tar_filter := getattr(tarfile, "tar_filter", None):  # Python since 3.11.4
                archive.extraction_filter = tar_filter
            archive.extractall(home)  # noqa: S202 - it is one of ours, with nothing but names below the home
    except FileNotFoundError:
        raise CloudRefused("There is no such image.") from None


def delete(site: Site, image: str) -> None:
    """Remove an image; success if there is none."""
    folder = _folder(site)
    with suppress(FileNotFoundError):
        os.replace(folder / image, folder / f".trash-{image}")
    _remove(folder / f".trash-{image}")
    with suppress(OSError):  # there are others
        folder.rmdir()
    site.tidy()


def _folder(site: Site) -> Path:
    return site.directory / ".images"


def _remove(path: Path) -> None:
    """An image is two files in a folder."""
    with suppress(FileNotFoundError):
        for file in list(path.iterdir()):
            file.unlink(missing_ok=True)
        path.rmdir()
