"""The clients that people have, unchanged, against a server process with the starter."""

import base64
import json
import threading
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import openai
import pytest
import webuiapi
from click.testing import CliRunner
from PIL import Image
from tests.server.running import TOKEN, serving

import darkroom
from darkroom.cli.main import main
from darkroom.errors import DarkroomError
from darkroom.studio.metadata import from_json
from darkroom.studio.pictures import decode, read
from darkroom.studio.replay import read_record, replay

SIZE, STEPS = 64, 3
SECRET = "zebra"
"""A word of every prompt here, which must not be in the log."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("served")) as running:
        yield running
        assert SECRET not in running.log.read_text()


@pytest.fixture(scope="module")
def images(server):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=TOKEN, max_retries=0).images


@pytest.fixture(scope="module")
def web(server):
    api = webuiapi.WebUIApi(host="127.0.0.1", port=server.port, username="any", password=TOKEN)
    api.default_steps = STEPS
    return api


def pixels(text: str) -> np.ndarray:
    return decode(base64.b64decode(text)).pixels


def record(text: str):
    return from_json(decode(base64.b64decode(text)).texts.record).request


def png(colour, mode="RGB", size=SIZE) -> bytes:
    buffer = BytesIO()
    Image.new(mode, (size, size), colour).save(buffer, "PNG")
    return buffer.getvalue()


def holed() -> bytes:
    """A mask as OpenAI has it: transparent on the left."""
    mask = Image.new("RGBA", (SIZE, SIZE), "black")
    mask.paste((0, 0, 0, 0), (0, 0, SIZE // 2, SIZE))
    buffer = BytesIO()
    mask.save(buffer, "PNG")
    return buffer.getvalue()


def asked(**more):
    return {"prompt": f"a {SECRET}", "size": f"{SIZE}x{SIZE}"} | more


class TestOpenAI:
    def test_generations(self, images):
        made = images.generate(**asked(n=2), extra_body={"seed": 5, "steps": STEPS})
        assert [one.seed for one in made.data] == [5, 6] and made.size == f"{SIZE}x{SIZE}"
        assert made.data[0].revised_prompt == f"a {SECRET}" and abs(made.created - time.time()) < 60
        alone = images.generate(**asked(), extra_body={"seed": 6, "steps": STEPS})
        assert np.abs(pixels(alone.data[0].b64_json).astype(int) - pixels(made.data[1].b64_json)).max() <= 1

    def test_size_auto_is_the_models_and_quality_sets_the_steps(self, images):
        made = images.generate(prompt=f"a {SECRET}", size="auto", quality="low", output_format="webp")
        data = base64.b64decode(made.data[0].b64_json)
        assert decode(data).format == "WEBP" and made.output_format == "webp"
        request = record(made.data[0].b64_json)
        assert (request.width, request.height, request.steps) == (128, 128, 8) and made.size == "128x128"

    def test_partial_images_come_before_the_same_picture(self, images):
        """As with OpenAI, some may be left out where the picture is quicker."""
        stream = images.generate(**asked(stream=True, partial_images=3), extra_body={"seed": 5, "steps": 16})
        *partial, last = stream
        assert [event.type for event in partial] == ["image_generation.partial_image"] * len(partial)
        assert [event.partial_image_index for event in partial] == list(range(len(partial)))
        assert 1 <= len(partial) <= 3 and last.type == "image_generation.completed"
        final = pixels(last.b64_json)
        whole = images.generate(**asked(), extra_body={"seed": 5, "steps": 16}).data[0]
        assert np.abs(final.astype(int) - pixels(whole.b64_json)).max() <= 1
        assert pixels(partial[0].b64_json).ndim == 3

    def test_edits(self, images):
        made = images.edit(image=png("red"), mask=holed(), **asked(), extra_body={"steps": STEPS, "seed": 3})
        request, shown = record(made.data[0].b64_json), pixels(made.data[0].b64_json).astype(int)
        assert request.mask and request.strength == 1.0
        left, right = shown[:, : SIZE // 2 - 8], shown[:, SIZE // 2 + 8 :]
        plain = np.array([255, 0, 0])
        assert np.abs(right - plain).mean() < 25 < np.abs(left - plain).mean()  # white is painted
        free = images.edit(image=[png("red")], **asked(), extra_body={"steps": STEPS})
        assert record(free.data[0].b64_json).strength == 0.75
        with pytest.raises(openai.BadRequestError, match="one picture can be edited, not 2"):
            images.edit(image=[png("red"), png("blue")], **asked())

    @pytest.mark.filterwarnings("ignore:deprecated")
    def test_variations(self, images):
        made = images.create_variation(
            image=png("red"), n=2, size=f"{SIZE}x{SIZE}", extra_body={"steps": STEPS}
        )
        assert len(made.data) == 2 and made.data[0].revised_prompt == "a picture"
        again = images.create_variation(
            image=base64.b64decode(made.data[0].b64_json), extra_body={"steps": STEPS, "prompt": "a cone"}
        )
        assert again.data[0].revised_prompt == "a cone"

    def test_models(self, server):
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=TOKEN)
        assert [model.id for model in client.models.list()] == ["starter"]
        assert client.models.retrieve("starter").owned_by == "darkroom"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-image-1")

    @pytest.mark.parametrize(
        ("wish", "param"),
        [
            ({"size": "large"}, "size"),
            ({"quality": "best"}, "quality"),
            ({"background": "transparent"}, "background"),
            ({"output_compression": 50}, "output_compression"),
            ({"style": "vivid"}, "style"),
            ({"n": 0}, "n"),
            ({"response_format": "url"}, "response_format"),
            ({"partial_images": 2}, "partial_images"),
            ({"extra_body": {"frames": 2}}, "frames"),
        ],
    )
    def test_what_cannot_be_had_is_refused_by_name(self, images, wish, param):
        with pytest.raises(openai.BadRequestError) as refused:
            images.generate(**{"prompt": f"a {SECRET}"} | wish)
        assert refused.value.param == param and refused.value.type == "invalid_request_error"

    def test_a_model_that_there_is_not(self, images):
        with pytest.raises(openai.NotFoundError) as refused:
            images.generate(prompt=f"a {SECRET}", model="dall-e-3")
        assert refused.value.code == "model_not_found" and "starter" in refused.value.message

    def test_a_wrong_key(self, server):
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0)
        with pytest.raises(openai.AuthenticationError):
            client.images.generate(prompt=f"a {SECRET}")


class TestA1111:
    def test_txt2img_with_all_that_the_client_sends(self, web):
        made = web.txt2img(prompt=f"a {SECRET}", seed=5, batch_size=2, width=SIZE, height=SIZE, cfg_scale=3)
        assert [image.size for image in made.images] == [(SIZE, SIZE)] * 2
        assert made.info["all_seeds"] == [5, 6] and made.info["sampler_name"] == "Euler a"
        assert made.info["notices"] == [] and made.parameters["steps"] == STEPS
        assert made.images[0].info["parameters"] == made.info["infotexts"][0]

    def test_img2img_with_a_mask_says_what_it_did_not_do(self, web):
        mask = Image.new("L", (SIZE, SIZE))
        mask.paste(255, (0, 0, SIZE // 2, SIZE))
        made = web.img2img(
            images=[Image.new("RGB", (SIZE, SIZE), "red")],
            mask_image=mask,
            prompt=f"a {SECRET}",
            width=SIZE,
            height=SIZE,
            denoising_strength=1.0,
            seed=3,
        )
        shown = np.asarray(made.image, int)
        assert np.abs(shown[:, SIZE // 2 + 8 :] - [255, 0, 0]).mean() < 25
        assert ["mask_blur" in made.info["notices"][0], "inpaint_full_res" in made.info["notices"][1]] == [
            True
        ] * 2

    def test_lists_and_settings(self, web):
        assert "DPM++ 2M" in web.util_get_sampler_names() and "Euler a" in web.util_get_sampler_names()
        assert {"automatic", "karras"} <= set(web.util_get_scheduler_names())
        assert web.util_get_model_names() == ["starter"]
        web.util_set_model("Starter")
        assert web.util_get_current_model() == "starter"
        web.util_wait_for_ready()
        assert web.get_scripts() == {"txt2img": [], "img2img": []} and web.get_loras() == []
        for empty in (
            web.get_hypernetworks,
            web.get_face_restorers,
            web.get_latent_upscale_modes,
            web.get_sd_vae,
        ):
            assert empty() == []
        assert web.get_memory()["ram"]["total"] > 0 and web.get_cmd_flags()["api"]
        assert web.get_upscalers()[0]["name"] == "None" and web.refresh_checkpoints() == {}
        assert web.get_prompt_styles() == [] and "loaded" in web.get_embeddings()

    def test_png_info(self, web):
        made = web.txt2img(prompt=f"a {SECRET}", seed=9, width=SIZE, height=SIZE)
        assert web.png_info(made.image).info.startswith(f"a {SECRET}\nSteps: {STEPS}, Sampler: Euler a")

    def test_progress_and_interrupt(self, web):
        answers = []
        call = threading.Thread(
            target=lambda: answers.append(web.txt2img(prompt=f"a {SECRET}", steps=150, width=256, height=256))
        )
        call.start()
        seen = web.get_progress()
        while not (seen["current_image"] and seen["state"]["sampling_step"]):
            seen = web.get_progress()
        assert 0 < seen["progress"] < 1 and seen["state"]["sampling_steps"] == 150
        assert seen["state"]["job_count"] == 1
        Image.open(BytesIO(base64.b64decode(seen["current_image"]))).load()
        web.interrupt()
        call.join(20)
        assert answers[0].images == [] and answers[0].info["notices"] == ["it was interrupted."]
        assert web.get_progress()["progress"] == 0

    @pytest.mark.parametrize(
        ("wish", "word"),
        [
            ({"enable_hr": True}, "enable_hr"),
            ({"restore_faces": True}, "restore_faces"),
            ({"script_name": "X/Y/Z plot"}, "script_name"),
            ({"alwayson_scripts": {"ADetailer": {"args": [True]}}}, "ADetailer"),
            ({"controlnet_units": [webuiapi.ControlNetUnit(image=Image.new("RGB", (8, 8)))]}, "ControlNet"),
            ({"override_settings": {"eta_noise_seed_delta": 31337}}, "eta_noise_seed_delta"),
            ({"sampler_name": "Euler b"}, "Euler a"),
            ({"scheduler": "fast"}, "scheduler"),
            ({"n_iter": 1000}, "1000 pictures"),
        ],
    )
    def test_what_cannot_be_had_is_refused_in_its_own_shape(self, web, wish, word):
        with pytest.raises(RuntimeError) as refused:
            web.txt2img(**{"prompt": f"a {SECRET}", "alwayson_scripts": {}} | wish)
        status, text = refused.value.args
        told = json.loads(text)
        assert (
            status in (404, 422)
            and word in told["detail"]
            and set(told) == {"error", "detail", "body", "errors"}
        )


class TestOurs:
    def test_the_python_client_makes_what_the_other_doors_make(self, server, images):
        room = darkroom.connect(server.url, TOKEN)
        steps = []
        made = room.generate(
            f"a {SECRET}", lambda step: steps.append((step.step, step.steps, len(step.preview()))),
            seed=5, count=2, width=SIZE, height=SIZE, steps=STEPS, previews=1,
        )  # fmt: skip
        assert [picture.record.request.seed for picture in made] == [5, 6]
        assert steps[-1] == (STEPS, STEPS, 2)
        other = images.generate(**asked(), extra_body={"seed": 5, "steps": STEPS}).data[0]
        assert np.abs(made.images[0].astype(int) - pixels(other.b64_json)).max() <= 1

    def test_the_command_line_saves_files_that_replay_here(self, server, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "start.png").write_bytes(png("red"))
        words = [
            "generate",
            f"a {SECRET}",
            "-s",
            "5",
            "-W",
            "64",
            "-H",
            "64",
            "--steps",
            "4",
            "-i",
            "start.png",
        ]
        done = CliRunner().invoke(
            main, [*words, "--server", server.url, "--token", TOKEN, "--watch", "-o", "x.png"]
        )
        assert done.output == "x.png  seed 5\nx.gif\n", done.output
        assert read_record(tmp_path / "x.png").request.init_image == Path("start.png")
        assert replay(tmp_path / "x.png")[1].largest <= 1
        with Image.open(tmp_path / "x.gif") as film:
            assert film.n_frames >= 2

    def test_errors_are_sentences(self, server):
        with pytest.raises(DarkroomError, match="token is missing or wrong"):
            darkroom.connect(server.url, "wrong")
        with pytest.raises(DarkroomError, match="does not answer"):
            darkroom.connect("http://127.0.0.1:1")
        room = darkroom.connect(server.url, TOKEN)
        with pytest.raises(DarkroomError, match="did you mean 'euler'"):
            room.generate(f"a {SECRET}", sampler="eular")
        with pytest.raises(DarkroomError, match="multiples of 16"):
            room.generate(f"a {SECRET}", width=65)

    def test_raising_from_progress_cancels_the_job(self, server):
        room = darkroom.connect(server.url, TOKEN)

        def stop(step):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            room.generate(f"a {SECRET}", stop, steps=150, width=256, height=256)
        assert room.caller.get("/api/jobs?limit=1")[0]["status"] == "cancelled"

    def test_saved_files_are_the_same_whoever_asked(self, server, tmp_path):
        room = darkroom.connect(server.url, TOKEN)
        settings = {"seed": 5, "width": SIZE, "height": SIZE, "steps": STEPS}
        room.generate(f"a {SECRET}", **settings)[0].save(tmp_path / "there.png")
        darkroom.open().generate(f"a {SECRET}", **settings)[0].save(tmp_path / "here.png")
        there, here = read_record(tmp_path / "there.png"), read_record(tmp_path / "here.png")
        assert there == here
        assert (
            np.abs(read(tmp_path / "there.png").pixels.astype(int) - read(tmp_path / "here.png").pixels).max()
            <= 1
        )
