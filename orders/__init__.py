"""Assets, markets and orders: what users ask for, and what has become of it."""
