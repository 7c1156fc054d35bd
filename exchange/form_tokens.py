"""Tokens that make a form good for one submission, however often its button is pressed.

A token is signed and expires; the first submission writes it down in its own transaction, so of
two at the same moment one wins, in whichever process they arrive. What is written down is an
empty row of the session table, which expires and is cleared like the others there: nobody can
log in with it, because it holds no user.
"""

import uuid
from datetime import timedelta

from django.contrib.sessions.models import Session
from django.core import signing
from django.utils import timezone

MAX_AGE = timedelta(hours=1)
_signer = signing.TimestampSigner(salt="exchange.form_tokens")


def issue_token() -> str:
    """Return the token of a new form."""
    return _signer.sign(uuid.uuid4().hex)


def spend_token(token: str) -> bool:
    """Return whether this is the first submission of a form that is not too old."""
    try:
        number = _signer.unsign(token, max_age=MAX_AGE)
    except signing.BadSignature:
        return False
    _, first = Session.objects.get_or_create(
        session_key=f"form-{number}",
        defaults={"session_data": "", "expire_date": timezone.now() + 2 * MAX_AGE},
    )
    return first
