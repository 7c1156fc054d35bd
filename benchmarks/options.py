"""How a part of the benchmark is to be run; the same for all parts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Options:
    """`scale`: 1 for the real thing, less for a try: it shortens flows, and says nothing about
    speed then. `workers`: matching and trades workers each, of the part that can have several.
    `advance` is told which share of a run is done, by a part that takes long. What a part puts
    into `details` goes into the JSON file as it is."""

    kafka: Literal["embedded", "apache"] = "embedded"
    scale: float = 1.0
    workers: int = 1
    say: Callable[[str], None] = print
    advance: Callable[[float], None] = lambda _: None
    details: dict[str, Any] = field(default_factory=dict)

    def scaled(self, count: int, *, least: int = 1) -> int:
        """Return `count` made smaller by the scale."""
        return max(int(count * self.scale), least)
