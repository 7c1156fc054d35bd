"""The REST API and its OpenAPI schema."""

REST_FRAMEWORK = {
    "DEFAULT_PARSER_CLASSES": ["exchange.api.parsers.ExactJSONParser"],
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "rest_framework.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
    "DEFAULT_THROTTLE_CLASSES": ["exchange.api.throttling.ExchangeThrottle"],
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
    "what to do.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # Without this the page asks a validator on somebody else's server.
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "exchange.api.schema.document_limits",
    ],
    "ENUM_NAME_OVERRIDES": {
        "Side": "orders.models.Order.Side",
        "OrderType": "orders.models.Order.Type",
        "TimeInForce": "orders.models.Order.TimeInForce",
        "OrderStatus": "orders.models.Order.Status",
        "MarketState": "orders.models.Market.State",
    },
}
