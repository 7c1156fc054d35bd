"""How the admin looks: django-unfold's theme, the sidebar, the front page."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import reverse_lazy


def _may_view(permission: str) -> Callable[[HttpRequest], bool]:
    def check(request: HttpRequest) -> bool:
        return request.user.has_perm(permission)

    return check


def _page(title: str, icon: str, app: str, model: str) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{model}_changelist"),
        "permission": _may_view(f"{app}.view_{model}"),
    }


UNFOLD = {
    "SITE_TITLE": "Exchange",
    "SITE_HEADER": "Exchange",
    "SITE_SYMBOL": "candlestick_chart",
    "SITE_URL": "/docs",
    "ENVIRONMENT": "exchange.access.demo.admin_label",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "exchange.dashboard.dashboard",
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "items": [
                    {
                        "title": "Overview",
                        "icon": "monitoring",
                        "link": reverse_lazy("admin:index"),
                    }
                ]
            },
            {
                "title": "Trading",
                "separator": True,
                "items": [
                    _page("Orders", "receipt_long", "orders", "order"),
                    _page("Trades", "swap_horiz", "balances", "trade"),
                    _page("Markets", "storefront", "orders", "market"),
                    _page("Changes of markets", "rule", "orders", "marketchange"),
                    _page("Assets", "toll", "orders", "asset"),
                ],
            },
            {
                "title": "Money",
                "separator": True,
                "items": [
                    _page("Users", "person", "exchange", "user"),
                    _page("Fee tiers", "percent", "exchange", "feetier"),
                    _page("API keys", "key", "exchange", "apikey"),
                    _page("Transfers", "price_check", "balances", "transfer"),
                    _page("Balances", "account_balance_wallet", "balances", "balance"),
                    _page("Ledger", "menu_book", "balances", "ledgerentry"),
                ],
            },
            {
                "title": "System",
                "separator": True,
                "items": [
                    _page("Checkpoints", "flag", "balances", "checkpoint"),
                    _page("Log epochs", "history", "balances", "logepoch"),
                    _page("Halted settlements", "front_hand", "balances", "markethalt"),
                    _page("Past halts", "history_toggle_off", "balances", "pasthalt"),
                    _page("Cache trust", "verified_user", "balances", "cachetrust"),
                    _page("Groups", "group", "auth", "group"),
                ],
            },
        ],
    },
}
