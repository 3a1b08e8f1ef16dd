"""``darkroom mcp``: the studio for assistants."""

from pathlib import Path

import click

from darkroom.errors import DarkroomError


@click.command(short_help="Let an assistant make pictures.")
@click.option("--server", metavar="URL", help="A server that makes them; without it they are made here.")
@click.option("--token", envvar="DARKROOM_TOKEN", help="What the server wants; $DARKROOM_TOKEN is safer.")
@click.option("-m", "--model", default="starter", show_default=True, help="What is used where none is named.")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="The queue and pictures.  [default: ~/.darkroom/studio]"
)
def mcp(server: str | None, token: str | None, model: str, folder: Path | None) -> None:
    """Speak the Model Context Protocol on standard input and output.

    An assistant that starts this can make pictures, look at them, edit them, and vary them.

    \b
    Examples:
      darkroom mcp
      darkroom mcp --server http://127.0.0.1:7860
    """
    try:
        from darkroom.server.assistant.studios import Here, There
        from darkroom.server.assistant.tools import create_server
    except ImportError as error:
        raise DarkroomError(
            f"an assistant needs {error.name}; install it with: pip install 'darkroom[serve]'"
        ) from error
    from darkroom.studio.calls import Caller

    if server is not None:
        create_server(There(Caller(server, token))).run("stdio")
        return
    from darkroom.server.desk import Desk
    from darkroom.server.settings import Settings
    from darkroom.studio.serving.service import Service

    with Service(folder) as service:
        create_server(Here(Desk(service, Settings(model=model)))).run("stdio")
