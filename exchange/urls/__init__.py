"""Which service answers to what. `EXCHANGE_SERVICE` chooses: one module per service, or all.

What a service is there for comes first: its addresses are looked for in this order.
"""
