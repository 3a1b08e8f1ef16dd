"""The MCP server over standard input and output, asked by the SDK's own client."""

import base64
import os
import sys

import anyio
import numpy as np
import pytest
from mcp import Client, StdioServerParameters
from tests.server.running import TOKEN, serving

from darkroom.studio.pictures import decode

SMALL = {"width": 64, "height": 64, "steps": 3}


def talked(words, env, talk):
    """Run ``talk`` with a client of ``darkroom mcp``."""
    command = [sys.executable, "-m", "darkroom", "mcp", *words]
    server = StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ) | env)

    async def main():
        with anyio.fail_after(100):
            async with Client(server) as client:
                return await talk(client)

    return anyio.run(main)


def shown(result):
    """Ids, texts and pictures of a result."""
    assert not result.is_error, result.content
    texts = [one.text for one in result.content if one.type == "text"]
    pictures = [decode(base64.b64decode(one.data)).pixels for one in result.content if one.type == "image"]
    ids = [text.split(":")[0].removeprefix("picture ") for text in texts if text.startswith("picture ")]
    assert len(ids) == len(pictures)
    return ids, texts, pictures


async def whole_talk(client):
    """From words to a picture, to one that is changed in part, to some that are like it."""
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {"generate", "look", "edit", "vary", "models", "samplers"}
    assert all(tool.description for tool in tools.values())
    steps = []

    async def progress(step, total, message):
        steps.append((step, total))

    wish = {"prompt": "a red apple", "seed": 5, "count": 2} | SMALL
    ids, texts, pictures = shown(await client.call_tool("generate", wish, progress_callback=progress))
    assert len(ids) == 2 and pictures[0].shape == (64, 64, 3)
    assert "seed 5" in texts[0] and "seed 6" in texts[1] and "'a red apple'" in texts[0]
    assert steps and steps[-1] == (3, 3)

    _, (text,), (again,) = shown(await client.call_tool("look", {"picture": ids[0]}))
    assert (again == pictures[0]).all() and "steps 3" in text

    area = {"left": 0, "top": 0, "right": 0.5, "bottom": 1}
    edit = {"picture": ids[0], "prompt": "a blue house", "area": area, "seed": 1, "steps": 3}
    _, _, (edited,) = shown(await client.call_tool("edit", edit))
    change = np.abs(edited.astype(int) - pictures[0])
    assert change[:, :24].mean() > 2 * change[:, 40:].mean()

    _, texts, varied = shown(await client.call_tool("vary", {"picture": ids[0], "strength": 0.2, "count": 2}))
    near = [np.abs(one.astype(int) - pictures[0]).mean() for one in varied]
    assert len(varied) == 2 and all(
        0 < one < np.abs(pictures[1].astype(int) - pictures[0]).mean() * 1.5 for one in near
    )
    assert "'a red apple'" in texts[0]

    assert (await client.call_tool("models", {})).content[0].text.startswith("starter (starter, the default)")
    assert "sampler dpmpp_2m:" in (await client.call_tool("samplers", {})).content[0].text
    for name, arguments, word in (
        ("generate", {"prompt": "x", "sampler": "eular"}, "did you mean 'euler'"),
        ("generate", {"prompt": "x", "count": 99}, "count"),
        ("look", {"picture": "../../etc/passwd"}, "picture"),
        ("edit", edit | {"area": area | {"right": 0}}, "the area is empty"),
    ):
        refused = await client.call_tool(name, arguments)
        assert refused.is_error and word in refused.content[0].text


@pytest.mark.parametrize("where", ["here", "there"])
def test_an_assistant_makes_looks_edits_and_varies(tmp_path, where):
    if where == "here":
        talked([], {"DARKROOM_HOME": str(tmp_path)}, whole_talk)
        return
    with serving(tmp_path) as running:
        talked(["--server", running.url], {"DARKROOM_TOKEN": TOKEN}, whole_talk)
