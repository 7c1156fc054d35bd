"""Settings, one file per concern. Everything that differs between machines is in the environment.

`EXCHANGE_ENV=production` refuses to start without its secrets. `development` is the default:
readable errors and logs, a known secret key, servers on loopback. Anything else does not start.
"""

from exchange.settings.access import *
from exchange.settings.admin import *
from exchange.settings.api import *
from exchange.settings.base import *
from exchange.settings.limits import *
from exchange.settings.logs import *
from exchange.settings.metrics import *
from exchange.settings.security import *
from exchange.settings.stores import *
from exchange.settings.tasks import *
