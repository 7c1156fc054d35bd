"""The chaos run: a steady load on the whole system while its parts are hurt, by seed.

    python -m tests.chaos --times 20        or: make chaos

    client      HTTP, as a client that repeats what got no answer
    journal     what the clients have sent, and what they were told
    crew        threads that work until they are paused or stopped
    load        orders and cancels at a steady rate
    watcher     a trader who knows to the last digit what a balance has to be
    books       what Postgres holds, read past the exchange
    accounting  the journal against the books: lost, doubled
    site        the running stack, and the hands to hurt it
    faults      what is injected, as data
    redeliver   publishes records of the log once more
    recovery    waits until everything is well again
    run         one run from start to end
    report      the table

Must never touch a server or process that it did not start.
"""
