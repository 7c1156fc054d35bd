"""Where this process says what it has counted: see `exchange.metrics.server`."""

from exchange.settings.base import env

METRICS_BIND = env.str("METRICS_BIND", default="127.0.0.1")
"""The address to answer on. There is no sign-in: loopback, or a network of nobody else's."""
METRICS_PORTS = env.list("METRICS_PORTS", default=[])
"""The first of them that is free is this process's; none: it does not say."""
