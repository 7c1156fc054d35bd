"""The exchange's own user model, so that it can grow without a painful migration."""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """A trader, an operator, or both. Balances and orders refer to it by `id`."""
