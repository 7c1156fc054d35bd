"""Candles, tickers and depth: what has been settled, as the public sees it.

    candles     the arithmetic: trades to candles, candles to longer ones, gaps (pure)
    folding     keeps the candles in Postgres up to date with the settled trades
    follower    reads on `trade-events` which market has something to fold, and when it is settled
    selectors   candles, ticker
    depth       the book by level, best bid and offer, and the place on the log it is true for
    api         the HTTP interface

It shows nothing that is not settled, and settles nothing. Trades and orders in Postgres are the
truth; all here can be thrown away and built again.
"""
