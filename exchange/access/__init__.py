"""Who may do what: API keys, signatures, and for whom a request acts.

`docs/security.md` says it in words. The services of the other apps know nothing of this: their
views ask `exchange.access.requester` who is meant, and pass a plain `user_id` on.
"""
