# One image for every process of the exchange; docker-compose.yml says which one a container runs.

FROM python:3.11-slim AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
# Only these two files: the layer is made again when a dependency changes, not when the code does.
COPY requirements/base.txt requirements/constraints.txt /requirements/
# Every dependency has a wheel. Nothing is compiled, so no compiler is needed, here or below.
RUN /venv/bin/pip install --only-binary :all: -r /requirements/base.txt


FROM python:3.11-slim

# Logs go out line by line, and nothing writes into the code at run time.
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=exchange.settings \
    PATH=/venv/bin:$PATH

RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin exchange
COPY --from=build /venv /venv
WORKDIR /app
COPY . .
RUN python -m compileall -q .
USER exchange
