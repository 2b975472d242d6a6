"""A chapter of im.cfg: options that are explained together."""

from __future__ import annotations

from dataclasses import dataclass

from imframework.api.config import Option


@dataclass(frozen=True, slots=True)
class Group:
    """Options under a common title, in the order of the sample file; `about` is for all of them."""

    title: str
    options: tuple[Option, ...]
    about: str = ""
