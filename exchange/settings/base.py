"""What every Django project sets: apps, middleware, URLs, templates, secrets."""

import os
from pathlib import Path

import environ

import exchange.money  # noqa: F401 - exact decimals before anything computes
from exchange.settings.production import (
    DEVELOPMENT_KEY,
    insist_on_production,
    is_production,
    refuse_development_keys,
)

env = environ.Env()

BASE_DIR = Path(__file__).resolve().parent.parent.parent
PRODUCTION = is_production(env.str("EXCHANGE_ENV", default="development"))
if PRODUCTION:
    insist_on_production(os.environ)

DEBUG = env.bool("DJANGO_DEBUG", default=not PRODUCTION)
SECRET_KEY = env.str("DJANGO_SECRET_KEY", default="" if PRODUCTION else DEVELOPMENT_KEY)
if not DEBUG:
    refuse_development_keys(DJANGO_SECRET_KEY=[SECRET_KEY])
ALLOWED_HOSTS = env.list(
    "DJANGO_ALLOWED_HOSTS", default=[] if PRODUCTION else ["localhost", "127.0.0.1", "[::1]"]
)
CSRF_TRUSTED_ORIGINS = env.list("DJANGO_CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "exchange",
    "orders",
    "balances",
    "matching",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "exchange.content_policy.ContentPolicyMiddleware",
    "exchange.middleware.RequestIdMiddleware",
    "exchange.api.throttling.RateLimitMiddleware",
    "exchange.request_bounds.RequestBoundsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "exchange.login_limits.LoginLimitMiddleware",
    "exchange.middleware.DatabaseAwayMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

SERVICE = env.str("EXCHANGE_SERVICE", default="all")
"""Which of the three services this process answers for: orders, balances, matching, or all."""
ROOT_URLCONF = f"exchange.urls.{SERVICE}"
WSGI_APPLICATION = "exchange.wsgi.application"

AUTH_USER_MODEL = "exchange.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
APPEND_SLASH = True  # for the admin; the API's own addresses have no trailing slash

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = True  # serve straight from the packages: no collectstatic step to forget
WHITENOISE_AUTOREFRESH = DEBUG

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
