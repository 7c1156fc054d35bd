"""What every operation of the API may answer because of its limits, added to the OpenAPI schema.

The middleware answers so before a view is reached, so no view has to say it, or can forget it.
"""

from typing import Any

from exchange.api.throttling import EXEMPT

_LIMIT_HEADERS = {
    "X-RateLimit-Limit": "Requests that may come at once.",
    "X-RateLimit-Remaining": "How many of them are left.",
    "X-RateLimit-Reset": "Seconds until all of them are there again.",
}
_REFUSALS = {
    "411": "A body without its length: chunked.",
    "413": "The body is too large.",
    "414": "The query is too long.",
}
_TOO_MANY = "Too many requests of this user, API key or address; `Retry-After` says when to go on."


def document_limits(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the refusals and the limit headers to every operation."""
    for path, operations in result["paths"].items():
        for operation in operations.values():
            responses: dict[str, Any] = operation["responses"]
            for status, description in _REFUSALS.items():
                responses.setdefault(status, _error(description))
            if path.startswith(EXEMPT):
                continue
            responses["429"] = _error(_TOO_MANY)
            responses["429"]["headers"] = {"Retry-After": _number("Seconds to wait.")}
            for response in responses.values():
                response.setdefault("headers", {}).update(
                    {name: _number(text) for name, text in _LIMIT_HEADERS.items()}
                )
            operation["responses"] = dict(sorted(responses.items()))
    return result


def _error(description: str) -> dict[str, Any]:
    body = {"schema": {"$ref": "#/components/schemas/ErrorBody"}}
    return {"content": {"application/json": body}, "description": description}


def _number(description: str) -> dict[str, Any]:
    return {"schema": {"type": "integer"}, "description": description}
