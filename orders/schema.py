"""What the OpenAPI schema says of the forms of an order, beyond the single fields.

`OrderInput.validate` refuses what does not fit these rules; the two must say the same.
"""

from typing import Any

from orders.models import Order

_ONE_MARKET = {"oneOf": [{"required": ["market"]}, {"required": ["asset"]}]}
_ONE_SIDE = {
    "oneOf": [
        {"required": ["side"], "not": {"required": ["order_type"]}},
        {"required": ["order_type"], "not": {"required": ["side"]}},
        *(
            {
                "required": ["side", "order_type"],
                "properties": {"side": {"enum": [side]}, "order_type": {"enum": [side]}},
            }
            for side in Order.Side.values
        ),
    ]
}

_ONE_PRICE = {
    "anyOf": [
        {"required": ["price"]},
        {"required": ["type"], "properties": {"type": {"enum": ["market", "stop_market"]}}},
    ]
}

_ONE_SIZE = {
    "anyOf": [
        {"required": ["quantity"]},
        {"required": ["type", "quote_amount"], "properties": {"type": {"enum": ["market"]}}},
    ]
}


def _schemas_of(result: dict[str, Any], body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the schemas that the media types of a body refer to."""
    schemas = result["components"]["schemas"]
    return [
        schemas[content["schema"]["$ref"].rpartition("/")[2]]
        for content in body["content"].values()
    ]


def document_forms(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """An order names its market once, its side once or twice the same, and how much it is of.

    A limit order names its price. An amendment says at least one thing.
    """
    order = result["components"]["schemas"].get("OrderInputRequest")
    if order is not None:  # another service's schema
        order["allOf"] = [_ONE_MARKET, _ONE_SIDE, _ONE_PRICE, _ONE_SIZE]
        # No field is required in every form, from which the generator concludes too much.
        result["paths"]["/orders"]["post"]["requestBody"]["required"] = True
        amend = result["paths"]["/orders/{order_id}"]["patch"]
        amend["requestBody"]["required"] = True
        for schema in _schemas_of(result, amend["requestBody"]):
            schema["minProperties"] = 1
    return result
