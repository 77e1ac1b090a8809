"""Addresses of the page: three files, the description of the generator, and four actions on a scene."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib import resources
from typing import TypeAlias, TypeVar

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ganforge.errors import GanforgeError, UsageError
from ganforge.utils.schema import first_problem
from ganforge.utils.tracebacks import summarize_exception
from ganforge_explore.explorer import Explorer
from ganforge_explore.guard import Application
from ganforge_explore.scene import Scene
from ganforge_explore.turns import Line, Turns

R = TypeVar("R")
Handler: TypeAlias = Callable[[Request], Awaitable[Response]]

#: Limit of a request, in bytes.
MAX_BODY = 4 << 20
#: Addresses of the page's files, which are read once.
PAGE = {
    "/": ("index.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/style.css": ("style.css", "text/css"),
}


def application(explorer: Explorer, turns: Turns) -> Application:
    """Return the page and its actions, which have no state.

    Args:
        explorer: Source of the images.
        turns: Threads that compute them.
    """

    async def run(line: Line, function: Callable[[], R]) -> R:
        return await asyncio.wrap_future(turns.submit(line, function))

    async def facts(_request: Request) -> Response:
        return JSONResponse(await run("pictures", explorer.facts))

    async def picture(request: Request) -> Response:
        scene = await _scene(request)
        return Response(await run("pictures", lambda: explorer.picture(scene)), media_type="image/png")

    async def point(request: Request) -> Response:
        scene = await _scene(request)
        return JSONResponse(await run("pictures", lambda: explorer.point(scene)))

    async def latents(request: Request) -> Response:
        scene = await _scene(request)
        return Response(await run("pictures", lambda: explorer.archive(scene)), media_type="application/zip")

    async def nearest(request: Request) -> Response:
        scene = await _scene(request)
        found = await run("searches", lambda: explorer.nearest(scene, lambda _done, _total: turns.give_way()))
        images = [{"index": index, "distance": far, "png": b64encode(png).decode()} for index, far, png in found]
        return JSONResponse(images)

    routes = [Route(path, _page(*file)) for path, file in PAGE.items()]
    routes.append(Route("/facts", _answered(facts)))
    actions = {"picture": picture, "point": point, "latents": latents, "nearest": nearest}
    routes += [Route(f"/{name}", _answered(action), methods=["POST"]) for name, action in actions.items()]
    starlette: Application = Starlette(routes=routes)
    return starlette


def _answered(action: Handler) -> Handler:
    """Return a handler that answers errors with one message as JSON."""

    async def handler(request: Request) -> Response:
        try:
            return await action(request)
        except GanforgeError as error:
            return JSONResponse({"error": error.message, "fix": error.fix}, HTTPStatus.BAD_REQUEST)
        except Exception as error:  # noqa: BLE001 - of a plugin's generator or dataset
            return JSONResponse({"error": summarize_exception(error), "fix": None}, HTTPStatus.INTERNAL_SERVER_ERROR)

    return handler


def _page(name: str, media_type: str) -> Handler:
    """Return the handler of a file of the page, which is read now."""
    content = (resources.files(__package__) / "page" / name).read_bytes()

    async def handler(_request: Request) -> Response:
        return Response(content, media_type=media_type)

    return handler


async def _scene(request: Request) -> Scene:
    """Return the scene of a request. Raises UsageError."""
    if request.headers.get("content-type") != "application/json":  # other pages may send other types only
        raise UsageError("the request is not application/json")
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MAX_BODY:
            raise UsageError(f"the request is longer than {MAX_BODY:,} bytes")
    try:
        return Scene.model_validate_json(bytes(content))
    except ValidationError as error:
        raise UsageError(first_problem(error, Scene)) from None
