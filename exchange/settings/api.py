"""The REST API and its OpenAPI schema."""

from exchange.access.signatures import HOW_TO_SIGN

REST_FRAMEWORK = {
    "DEFAULT_PARSER_CLASSES": ["exchange.api.parsers.ExactJSONParser"],
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "exchange.api.renderers.BrowsableRenderer",
    ],
    # The first of them says in 401 answers how to authenticate.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "exchange.access.authentication.KeyAuthentication",
        "exchange.access.authentication.SignInAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["exchange.access.permissions.SignedIn"],
    "DEFAULT_THROTTLE_CLASSES": ["exchange.api.throttling.ExchangeThrottle"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "exchange.api.negotiation.Negotiation",
    "DEFAULT_PAGINATION_CLASS": "exchange.api.pagination.NewestFirst",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "exchange.api.errors.handle_exception",
    "COERCE_DECIMAL_TO_STRING": True,
    "UNICODE_JSON": True,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Spot exchange",
    "DESCRIPTION": "Orders, balances and market data. Amounts are decimal strings, times ISO 8601 "
    "in UTC. Every error has a stable `code`, the `field` it is about, and a `message` that says "
    "what to do.\n\nPeople sign in at `/login`. " + HOW_TO_SIGN,
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # Without this the page asks a validator on somebody else's server.
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "exchange.api.schema.document_limits",
        "orders.schema.document_forms",
    ],
    "ENUM_NAME_OVERRIDES": {
        "Side": "orders.models.Order.Side",
        "OrderType": "orders.models.Order.Type",
        "TimeInForce": "orders.models.Order.TimeInForce",
        "OrderStatus": "orders.models.Order.Status",
        "LedgerKind": "balances.models.LedgerEntry.Kind",
        "TransferKind": "balances.models.Transfer.Kind",
        "TransferStatus": "balances.models.Transfer.Status",
        "MarketState": "orders.models.Market.State",
    },
}
