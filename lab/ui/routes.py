"""POST /lab/NAME: the scripts of the page speak JSON with the office here, one action a name."""

from __future__ import annotations

import json
import logging
import math
import shutil
import tempfile
import uuid
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from lab.errors import BadFile, DiskFull, LabError
from lab.ui import looked_at
from lab.ui.naming import in_titles
from lab.ui.office import Download, Office
from lab.ui.roles import check

log = logging.getLogger("lab.ui")
STATUS = MappingProxyType(
    {
        "E_NOT_FOUND": 404,
        "E_FORBIDDEN": 403,
        "E_READ_ONLY": 403,
        "E_KEY_REUSED": 409,
        "E_ALREADY_RANKED": 409,
        "E_BUSY": 503,
        "E_DISK_FULL": 507,
        "E_CONTENT_TYPE": 415,
        "E_BAD_JSON": 400,
        "E_INTERNAL": 500,
    }
)
DIGITS = 18


class Unreadable(LabError):
    """A body that is no JSON object; only a foreign script sends one."""

    code = "E_BAD_JSON"


class NotJson(LabError):
    code = "E_CONTENT_TYPE"


def routes(office: Office) -> list[Route]:
    """Handlers run on threads, so that a slow disk never holds up the page's event loop."""

    async def act(request: Request) -> JSONResponse:
        name = request.path_params["name"]
        try:
            do = office.actions.get(name)
            if do is None:
                return refusal("E_NOT_FOUND", f"There is no action {name[:64]!r}.")
            host = office.is_host(request)
            check(host, name)
            looked_at.check(office.workspace.barred, name)
            # Over whatever the page claims to be.
            of_browser = {"browser": office.browser(request), "guest": office.guest(request)}
            given = await body(request) | {"host": host} | of_browser
            result = await run_in_threadpool(do, given, office.rater(request))
        except LabError as error:
            return refusal(error.code, await run_in_threadpool(in_titles, office.workspace, str(error)))
        return JSONResponse(result, headers={"cache-control": "no-store"})

    async def export(request: Request) -> Response:
        make = office.downloads.get(request.path_params["name"])
        if make is None:
            return refusal("E_NOT_FOUND", "There is no such file to take away.")
        if not office.is_host(request):
            return refusal("E_FORBIDDEN", "Only the host may take files away.")
        try:
            return await run_in_threadpool(prepared, make, dict(request.query_params))
        except LabError as error:
            return refusal(error.code, await run_in_threadpool(in_titles, office.workspace, str(error)))

    async def health(request: Request) -> JSONResponse:
        return JSONResponse({"ok": True})

    return [
        Route("/healthz", health),
        Route("/lab/export/{name}", export),
        Route("/lab/{name}", act, methods=["POST"]),
    ]


class Parting(FileResponse):
    """A file whose folder goes with it, however the sending ends: a range that is none is answered without it."""

    def __init__(self, path: Path, folder: Path) -> None:
        super().__init__(path, filename=path.name)
        self.folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await run_in_threadpool(shutil.rmtree, self.folder, ignore_errors=True)


def prepared(make: Download, query: dict[str, str]) -> Parting:
    """The file in a folder of its own, of which nothing is left where it fails. What the disk refuses is said in words:
    DiskFull, or BadFile."""
    try:
        with ExitStack() as kept:
            folder = Path(tempfile.mkdtemp(prefix="lab-export-"))
            kept.callback(shutil.rmtree, folder, ignore_errors=True)
            found = Parting(make(query, folder), folder)
            kept.pop_all()
            return found
    except OSError as problem:
        log.warning("an export failed", exc_info=problem)
        why = problem.strerror or type(problem).__name__
        if problem.errno in DiskFull.errnos:
            raise DiskFull(
                f"No room was left in {tempfile.gettempdir()} to put the file together ({why}). Nothing that was saved "
                "is lost. Free some room there and try again."
            ) from problem
        raise BadFile(
            f"The file could not be put together ({why}); the terminal that the app runs in has the details. Nothing "
            "that was saved is lost. Try again."
        ) from problem


async def body(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise NotJson("The request must be application/json.")
    try:
        found = json.loads(await request.body(), parse_constant=_no_constant, parse_int=_whole, parse_float=_fraction)
    except (ValueError, RecursionError):
        raise Unreadable("The request is not JSON, or holds a number beyond all measure.") from None
    if not isinstance(found, dict):
        raise Unreadable("The request must be one JSON object.")
    return found


def refusal(code: str, message: str) -> JSONResponse:
    log.info("refused %s", code)
    return JSONResponse({"error": {"code": code, "message": message}}, STATUS.get(code, 422))


async def unexpected(request: Request, problem: Exception, why: str = "") -> Response:
    """The answer to an error that nobody foresaw: a reference for the person, all else in the log under it.

    `why`: a likely reason, as a sentence with a space behind it.
    """
    reference = uuid.uuid4().hex[:8]
    log.error("E_INTERNAL %s at %s", reference, request.url.path, exc_info=problem)
    if not request.url.path.startswith("/lab/"):
        return PlainTextResponse("Internal Server Error", STATUS["E_INTERNAL"])
    found = f"{why}Something unexpected happened ({type(problem).__name__}, ref {reference})"
    more = "the terminal that the app runs in has the details. Nothing that was saved is lost. Try again."
    return refusal("E_INTERNAL", f"{found}; {more}")


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _whole(digits: str) -> int:
    """A whole number that the database can hold; no page sends a larger one."""
    if len(digits) > DIGITS:
        raise ValueError(digits[:DIGITS])
    return int(digits)


def _fraction(digits: str) -> float:
    if not math.isfinite(float(digits)):
        raise ValueError(digits[:DIGITS])
    return float(digits)
