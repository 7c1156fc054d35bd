"""Balances, ledger, trades and checkpoints: whose money is where, and why."""
