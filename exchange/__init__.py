"""The Django project: settings, URLs, the Celery app, and what the apps share.

Imports nothing at package level, so that the engine and the records stay free of Django.
"""
