"""Django's backend for Postgres, but for what it remembers."""
