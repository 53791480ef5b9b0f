"""What runs beside the server for whoever operates it: vitals, metrics, health, systemd's watchdog."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

import structlog

from oobconsole.config.schema import Config
from oobconsole.ops import foreign, health, notify
from oobconsole.ops.http import Answer, HttpServer, Page
from oobconsole.session.services import Services
from oobconsole.supervise import Tasks

log = structlog.get_logger(__name__)


class Operation:
    """What runs beside the server. It starts when the server serves, and stops with it.

    Args:
        config: the configuration.
        services: what the server gives to sessions; metrics and health are read from these.
    """

    def __init__(self, config: Config, services: Services) -> None:
        self._config = config
        self._services = services
        self._http: HttpServer | None = None
        self._tasks = Tasks()

    async def start(self) -> str | None:
        """Start everything. Returns the address at which metrics are served, or None.

        Raises:
            EnvironmentFault: nobody can listen at that address.
        """
        self._tasks.forever(self._services.vitals.run, "vitals")
        self._tasks.start(asyncio.to_thread(foreign.tell, self._config), "looking for foreign files")
        if notify.watchdog_seconds() is not None:
            self._tasks.forever(notify.watchdog, "systemd's watchdog")
        address = None
        if self._config.metrics.listen:
            self._http = HttpServer(self._pages())
            address = await self._http.start(self._config.metrics.listen)
            log.info("metrics", address=address)
        links = sum(len(source.links) for source in self._services.directory.sources)
        notify.notify("READY=1", f"STATUS={links} machines")
        return address

    async def stop(self) -> None:
        """Stop everything. A second call does nothing more."""
        notify.notify("STOPPING=1")
        if self._http is not None:
            await self._http.stop()
        await self._tasks.stop()

    def _pages(self) -> dict[str, Page]:
        from oobconsole.ops.metrics import CONTENT_TYPE, Metrics  # a server without metrics starts faster without it

        metrics = Metrics(self._services)

        async def show() -> Answer:
            return Answer(HTTPStatus.OK, CONTENT_TYPE, await metrics.render())

        return {"/metrics": show, "/healthz": self._healthz}

    async def _healthz(self) -> Answer:
        faults = health.faults(self._services.vitals, self._services.trouble, self._config.recording.policy)
        status = HTTPStatus.SERVICE_UNAVAILABLE if faults else HTTPStatus.OK
        body = {"status": "failing", "reasons": faults} if faults else {"status": "ok"}
        return Answer(status, "application/json", json.dumps(body).encode() + b"\n")
