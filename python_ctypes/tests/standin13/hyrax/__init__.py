"""A small stand-in for Hyrax 0.13: what it has changed; the rest is the stand-in for 0.12."""

from pathlib import Path

_EARLIER = Path(__file__).parents[2] / "standin" / "hyrax"
__path__.append(str(_EARLIER))
__version__ = "0.13.0"
