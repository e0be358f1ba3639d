# One image for every process of Omhand: `worker`, `codec-server`, `migrate`, `load`, `doctor`, and the other commands.
# Of the packages it has what a worker needs; the embedded servers of `omhand dev` are not among them.
FROM python:3.13.14-slim-trixie AS packages
COPY requirements.worker.lock /
RUN python -m venv --without-pip /venv \
    && python -m pip --python /venv/bin/python install --no-cache-dir --no-deps --only-binary :all: \
        --require-hashes --requirement /requirements.worker.lock

FROM python:3.13.14-slim-trixie
RUN useradd --system --no-log-init --uid 10001 --home-dir /app --shell /usr/sbin/nologin omhand
COPY --from=packages /venv /venv
WORKDIR /app
COPY omhand omhand
COPY decisions decisions
COPY workflows workflows
COPY activities activities
COPY workers workers
COPY examples examples
RUN ["/venv/bin/python", "-m", "compileall", "-q", "/app"]
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 OMHAND_LOG_FORMAT=json
USER 10001
ENTRYPOINT ["python", "-m", "omhand"]
CMD ["--help"]
