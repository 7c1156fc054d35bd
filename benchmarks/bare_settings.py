"""The exchange's settings for `benchmarks.bare`: its framework and server, and nothing around.

On a database of its own, so that the books of the exchange stay sound.
"""

# ruff: noqa: F403, F405 - the settings are those of the exchange

from exchange.settings import *

ROOT_URLCONF = "benchmarks.bare"
# Alone it says how long an answer is: without that a connection is not kept alive.
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
METRICS_PORTS = []  # those of the service like which it runs are taken
DATABASES["default"]["NAME"] = "bare"
SILENCED_SYSTEM_CHECKS = ["admin.E408", "admin.E409", "admin.E410"]  # the middleware of the admin
