"""Which headers a request has, asked often: without the mapping that `request.headers` builds.

WSGI gives each header as a key of `META`; a name is spelled out once, when the module is loaded.
"""

from collections.abc import Iterable

from django.http import HttpRequest


def meta_keys(names: Iterable[str]) -> tuple[str, ...]:
    """Return the keys of `META` under which headers of these names come."""
    return tuple(f"HTTP_{name.upper().replace('-', '_')}" for name in names)


def shows_any(request: HttpRequest, keys: tuple[str, ...]) -> bool:
    """Return whether the request has one of the headers, `keys` as of `meta_keys`."""
    meta = request.META
    return any(key in meta for key in keys)
