"""``darkroom serve``: the studio for browsers and for programs."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from darkroom.cli.grouped import Grouped
from darkroom.errors import DarkroomError, InvalidRequest

if TYPE_CHECKING:
    from darkroom.server.settings import Settings
    from darkroom.studio.serving.limits import Limits

HEADINGS = {"token": "Who may come in", "queue": "How much is taken on"}


@click.command(cls=Grouped, headings=HEADINGS, short_help="Serve a page and programs.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=7860, show_default=True, help="0: a free one.")
@click.option("-m", "--model", default="starter", show_default=True, help="What those get who name none.")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="The queue and pictures.  [default: ~/.darkroom/studio]"
)
@click.option("--no-page", is_flag=True, help="Serve programs alone.")
@click.option("--open", "opening", is_flag=True, help="Open the page in a browser.")
@click.option("--log-prompts", is_flag=True, help="Write prompts into the log too.")
@click.option(
    "--drain",
    type=click.FloatRange(0, 3600),
    default=30.0,
    show_default=True,
    help="Seconds to finish in when stopped.",
)
@click.option("--token", envvar="DARKROOM_TOKEN", help="What clients must show; $DARKROOM_TOKEN is safer.")
@click.option(
    "--token-file", type=click.Path(path_type=Path), help="Tokens, one a line, each with a name before it."
)
@click.option("--allow-host", "hosts", metavar="NAME", multiple=True, help="A name that the server goes by.")
@click.option("--allow-origin", "origins", metavar="URL", multiple=True, help="A page that may ask, too.")
@click.option("--limit-queue", "queue", type=click.IntRange(1), help="Jobs that wait or run, of all.")
@click.option("--limit-jobs", "per_owner", type=click.IntRange(1), help="The same, of one token.")
@click.option("--limit-pictures", "pictures", type=click.IntRange(1), help="Of a job.")
@click.option("--limit-pixels", "pixels", type=click.IntRange(1), help="Of a picture.")
@click.option("--limit-steps", "steps", type=click.IntRange(1), help="Of a picture.")
@click.option("--limit-rows", "rows", type=click.IntRange(1), help="Pictures under way at once.")
@click.option("--limit-body", "body", type=click.IntRange(1024), help="Bytes of a request.")
def serve(folder: Path | None, opening: bool, **options: Any) -> None:
    """Serve a page for people, and programs: our own API, OpenAI's images and AUTOMATIC1111's.

    Only this machine can reach it, unless --host says otherwise; then clients must show a token. Accepted
    work survives a stop, and goes on at the next start.

    \b
    Examples:
      darkroom serve --open
      darkroom serve --port 8000 --no-page
      darkroom serve --host 0.0.0.0 --token-file tokens.txt --allow-host studio.example.org
    """
    settings = settings_of(options)
    limits = limits_of(options)
    try:
        from darkroom.server.app import create_app
        from darkroom.server.run import bound, serve_until_stopped
    except ImportError as error:
        raise DarkroomError(
            f"serving needs {error.name}; install it with: pip install 'darkroom[serve]'"
        ) from error
    from darkroom.studio.home import home
    from darkroom.studio.serving.service import Service

    listening = bound(settings)
    service = Service(folder or home() / "studio", limits)
    app = create_app(service, settings)
    service.start()
    serve_until_stopped(app, listening, click.echo, opening and settings.page)


def settings_of(options: dict[str, Any]) -> "Settings":
    """Who may come in, and where. Raises InvalidRequest for what is not safe."""
    from darkroom.server.settings import NAMELESS, Settings, read_tokens

    token, file = options.pop("token"), options.pop("token_file")
    if token and file:
        raise InvalidRequest("--token and --token-file do not go together; write the token into the file.")
    tokens = read_tokens(file) if file else {NAMELESS: token} if token else {}
    body = options.pop("body")
    names = ("host", "port", "model", "hosts", "origins", "drain", "log_prompts")
    settings = Settings(
        **{name: options.pop(name) for name in names}, page=not options.pop("no_page"), tokens=tokens
    )
    return replace(settings, body=body) if body else settings


def limits_of(options: dict[str, Any]) -> "Limits":
    """How much is taken on."""
    from darkroom.studio.serving.limits import Limits

    return Limits(**{name: value for name, value in options.items() if value is not None})
