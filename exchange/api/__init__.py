"""What the APIs of all apps share: exact parsing, errors, pagination."""
