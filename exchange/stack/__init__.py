"""The whole exchange on one machine: servers, web services, workers, under one supervisor.

`python -m exchange.stack up` and `demo` are what `make up` and `make demo` run; `Stack` is the
same as a library, for tests. It starts and stops processes and knows no trading rule; what the
processes are is in `processes`, and docker-compose.yml has to say the same. It must never touch
data that it did not make: servers whose address is given are used, not managed.
"""
