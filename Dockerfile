# One image for every process: `omhand worker`, `omhand migrate`, `omhand load`, `omhand codec-server`.
FROM python:3.13-slim AS build
WORKDIR /app
COPY requirements.lock pyproject.toml README.md ./
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY omhand omhand
COPY decisions decisions
COPY workflows workflows
COPY activities activities
COPY workers workers
COPY examples examples
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation --editable .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /app omhand
COPY --from=build --chown=root:root /venv /venv
COPY --from=build --chown=root:root /app /app
WORKDIR /app
USER omhand
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 OMHAND_LOG_FORMAT=json
ENTRYPOINT ["omhand"]
CMD ["worker"]
