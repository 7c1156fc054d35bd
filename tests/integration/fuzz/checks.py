"""What the fuzz run expects beyond the checks that schemathesis brings.

It replaces `positive_data_acceptance`, which knows statuses and not codes, so that it would have to
let every 400 pass or none.
"""

import json
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, Response
from schemathesis.core.failures import Failure

READY = "/health/ready"
ACCEPTED = {401, 403, 404, 422}
"""Refusals of what is well formed: who asks, what is not there, what the market's rules forbid."""
BEYOND_A_SCHEMA = {
    ("invalid_cursor", "cursor"),  # opaque: only a cursor that we made is one
    ("too_precise", "price"), ("too_precise", "quantity"),  # digits of a number with an exponent
    ("too_precise", "amount"), ("too_large", "amount"),
    ("too_large", "price"), ("too_large", "quantity"),  # the same of one that is text
    ("too_precise", "quote_amount"), ("too_large", "quote_amount"),
    ("too_precise", "stop_price"), ("too_large", "stop_price"),
    ("too_precise", "visible_quantity"), ("too_large", "visible_quantity"),
    ("too_precise", "step"), ("too_large", "step"),
    ("step_not_on_tick", "step"),  # the tick size is the market's
    ("invalid", "end"),  # a leap second, or a day that there is not
    ("required", "user_id"),  # in demo mode nobody has signed in, so there is no default
}  # fmt: skip
"""Each (code, field) that data may be refused with although the schema allows it."""


@schemathesis.check
def valid_data_is_not_malformed(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """Data that the schema allows is refused as malformed only for what a schema cannot say."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if response.status_code < 400 or response.status_code in ACCEPTED:
        return
    if (case.path, response.status_code) == (READY, 503):  # no worker runs here
        return
    body = json.loads(response.content)
    unexplained = [
        error
        for error in body.get("errors", [body])
        if (error.get("code"), error.get("field")) not in BEYOND_A_SCHEMA
    ]
    if unexplained:
        raise Failure(
            operation=case.operation.label,
            title="Refused as malformed, though the schema allows it",
            message=f"{response.status_code}: {unexplained}",
        )
