"""Who may come near: proxies, limits, and what production insists on."""

from exchange.settings.base import env

TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)
"""How many proxies of ours every request passes; 0: clients connect directly. Too large, and a
client can choose the address that it is counted by."""
