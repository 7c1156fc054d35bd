"""The WSGI application; `EXCHANGE_SERVICE` says for which of the services it answers."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange.settings")

application = get_wsgi_application()

from exchange.access.demo import warn_of_demo  # noqa: E402 - needs the apps, which are loaded now

warn_of_demo()

from exchange.metrics.server import serve  # noqa: E402

serve()
