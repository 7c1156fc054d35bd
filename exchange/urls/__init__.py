"""Which service answers to what. `EXCHANGE_SERVICE` chooses: one module per service, or all."""
