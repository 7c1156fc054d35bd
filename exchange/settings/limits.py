"""How large a request may be, and how often one may come: 0 is off, `THROTTLES=False` all off."""

from django.core.exceptions import ImproperlyConfigured

from exchange.settings.base import env

DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
"""Of a form in the admin: one that selects a full page of rows, and then some. What the API takes
is less: see `exchange.api.parsers`."""
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000
DATA_UPLOAD_MAX_NUMBER_FILES = 0  # nothing here takes a file

THROTTLES = env.bool("THROTTLES", default=True)
"""False: nothing is counted, logins neither. `make up` and the tests run so: all their requests
come from one address."""
THROTTLE_USER_READS_PER_SECOND = env.int("THROTTLE_USER_READS_PER_SECOND", default=50)
THROTTLE_USER_ORDERS_PER_SECOND = env.int("THROTTLE_USER_ORDERS_PER_SECOND", default=50)
"""Of all of a user's keys and browsers together. Orders: everything that is not a read."""
THROTTLE_KEY_READS_PER_SECOND = env.int("THROTTLE_KEY_READS_PER_SECOND", default=25)
THROTTLE_KEY_ORDERS_PER_SECOND = env.int("THROTTLE_KEY_ORDERS_PER_SECOND", default=25)
"""Less than a user's: a program that has gone wild leaves room to cancel with another key."""
THROTTLE_ADDRESS_READS_PER_SECOND = env.int("THROTTLE_ADDRESS_READS_PER_SECOND", default=100)
THROTTLE_ADDRESS_ORDERS_PER_SECOND = env.int("THROTTLE_ADDRESS_ORDERS_PER_SECOND", default=100)
THROTTLE_BURST_SECONDS = env.int("THROTTLE_BURST_SECONDS", default=2)
"""How many seconds' worth of a limit may come at once, after a pause."""

LOGIN_ATTEMPTS = env.int("LOGIN_ATTEMPTS", default=5)
"""How often in a row one name may be tried from one address; 0: no limit."""
LOGIN_ATTEMPT_SECONDS = env.int("LOGIN_ATTEMPT_SECONDS", default=60)
"""After so long there is one more attempt."""
if LOGIN_ATTEMPTS > 0 and LOGIN_ATTEMPT_SECONDS <= 0:
    raise ImproperlyConfigured(
        "LOGIN_ATTEMPT_SECONDS is the time until one more attempt: 1 or more. To have no limits, "
        "set LOGIN_ATTEMPTS=0."
    )
