"""Who may come near, and by which way: proxies, TLS, cookies, headers.

With the settings of production, `manage.py check --deploy` has no finding. What production refuses
to start without is in `exchange.settings.production`.
"""

from django.core.exceptions import ImproperlyConfigured

from exchange.settings.base import PRODUCTION, env

TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)
"""How many proxies of ours every request passes; 0: clients connect directly. Too large, and a
client can choose the address that it is counted by."""
if TRUSTED_PROXIES < 0:
    raise ImproperlyConfigured("TRUSTED_PROXIES is a number of proxies: 0 or more.")

AUTHENTICATION_BACKENDS = [
    "exchange.login_limits.LoginLimitBackend",  # first: it counts the attempts
    "django.contrib.auth.backends.ModelBackend",
]

DEFAULT_EXCEPTION_REPORTER_FILTER = "exchange.debug_pages.RedactingReporterFilter"

SECURE_SSL_REDIRECT = PRODUCTION
SECURE_REDIRECT_EXEMPT = [r"^health/(live|ready)$"]  # asked for over plain HTTP, on loopback
if PRODUCTION and TRUSTED_PROXIES > 0:
    # Without a proxy that sets it, any client could.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = env.int("DJANGO_HSTS_SECONDS", default=31_536_000) if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = PRODUCTION
SECURE_HSTS_PRELOAD = PRODUCTION and env.bool("DJANGO_HSTS_PRELOAD", default=False)
"""With it anybody may have the name put into the lists that browsers are shipped with, and nobody
gets it out within months. So it is a decision of its own, and no finding of `check --deploy`."""
SILENCED_SYSTEM_CHECKS = [] if SECURE_HSTS_PRELOAD else ["security.W021"]
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
