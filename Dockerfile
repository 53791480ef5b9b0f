# The console server alone, as an ordinary user. Not built where it was written: no Docker engine was at hand.
FROM debian:trixie-slim
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates \
    && rm -rf /var/lib/apt/lists/* && useradd --system --create-home --home-dir /var/lib/oobconsole oobconsole
COPY . /src
RUN python3 -m venv /opt/oobconsole && /opt/oobconsole/bin/pip install --no-cache-dir /src && rm -rf /src
USER oobconsole
EXPOSE 2222
ENTRYPOINT ["/opt/oobconsole/bin/oobconsole"]
CMD ["serve", "--config", "/etc/oobconsole/oobconsole.toml"]
