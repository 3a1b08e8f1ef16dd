"""What nobody would send, and what is not there any more: refused in a sentence, before it costs anything."""

import base64
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.numpy import save_file

from darkroom.server.app import create_app
from darkroom.server.assistant.studios import Here
from darkroom.server.assistant.tools import LOST, _vary
from darkroom.server.desk import Desk
from darkroom.server.sent import DEEPEST
from darkroom.server.settings import Settings
from darkroom.server.wishes import Wish
from darkroom.studio.attachments import Attachments, Control, ImagePrompt, Lora
from darkroom.studio.pictures import decode, read, read_mask, read_to_fit
from darkroom.studio.request import Request
from darkroom.text.wildcards import expand
from darkroom.web.pictures import router

JSON = {"Content-Type": "application/json"}
TURNED = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
NO_NUMBER = struct.pack("<HHI4s", 0x0100, 2, 4, b"abc\0")
WORDS = ["a {red|blue} apple", "__hero__ shot", "{2$$a|b}", "a_b {c}", r"a \{b\}"]
"""That a record may hold, and a prompt would choose from."""
LONG = {"prompt": "漢" * 4000, "negative_prompt": "字" * 4000 + "{x|y}", "size": "16x16"}


@pytest.fixture
def api(client):
    return client()


def packed(image: Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def refused(answer, status: int) -> str:
    """The sentence of a refusal."""
    assert answer.status_code == status, answer.text
    told = answer.json()
    message = told["errors"] if "errors" in told else told["error"]["message"]
    assert message.endswith((".", "?"))
    return message


def test_odd_exif_is_damage(api):
    exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + TURNED + NO_NUMBER + bytes(4)
    data = packed(Image.new("RGB", (16, 16)), "JPEG", exif=exif)
    assert "is damaged" in refused(api.post("/api/uploads", files={"file": data}), 422)
    asked = {"prompt": "a cone", "init_images": [in_base64(data)]}
    assert "is damaged" in refused(api.post("/sdapi/v1/img2img", json=asked), 422)


def test_the_page_takes_no_larger_pictures_than_the_doors(service):
    app = create_app(service, Settings(page=False, pixels=100, drain=0))
    app.include_router(router(service))
    with TestClient(app, base_url="http://127.0.0.1") as api:
        data = packed(Image.new("RGB", (16, 16)))
        answer = api.post("/studio/given", content=data, headers={"X-Darkroom": "1"})
    assert answer.status_code == 422 and "more than 100 pixels" in answer.json()["error"]


class TestModes:
    """Pictures of all modes that the three formats have."""

    RAMP = np.linspace(0, 65535, 16 * 16).reshape(16, 16).astype(np.uint16)

    @pytest.mark.parametrize("mode", ["CMYK", "L", "1", "P", "LA", "RGBA", "RGB"])
    def test_every_mode_can_be_painted_over(self, api, service, mode):
        image = Image.new("RGB", (16, 16), "red").convert(mode)
        data = packed(image, "JPEG" if mode == "CMYK" else "PNG")
        asked = {"prompt": "a cone", "init_images": [in_base64(data)], "mask": in_base64(data), "width": 16}
        answer = api.post("/sdapi/v1/img2img", json=asked | {"height": 16, "inpainting_fill": 1})
        assert answer.status_code == 200, answer.text
        request = next(iter(service.views.values())).requests[0]
        off = np.abs(read(request.init_image).pixels.astype(int) - decode(data).pixels)
        assert off.max() <= 1

    def test_grey_of_16_bits_stays_as_bright_as_it_is(self, api, service):
        image = in_base64(packed(Image.fromarray(self.RAMP)))
        asked = {"prompt": "a cone", "init_images": [image], "mask": image, "inpainting_fill": 1}
        asked |= {"width": 16, "height": 16}
        assert api.post("/sdapi/v1/img2img", json=asked).status_code == 200
        request = next(iter(service.views.values())).requests[0]
        assert np.abs(read(request.init_image).pixels[..., 0] - self.RAMP / 257).max() <= 1
        assert read(request.mask).pixels.mean() == pytest.approx(127.5, abs=2)


class TestA1111:
    @pytest.mark.parametrize(
        "extra",
        [
            '"denoising_strength": NaN',
            '"denoising_strength": Infinity',
            '"hr_scale": NaN',
            '"hr_scale": 1e400',
            '"script_args": [{"x": [-Infinity]}]',
            '"force_task_id": "\\ud800"',
            '"hr_prompt": {"\\ud800": 1}',
            '"alwayson_scripts": ' + "[" * 900 + "]" * 900,
            '"script_args": ' + '{"x":' * 900 + "1" + "}" * 900,
        ],
    )
    def test_what_no_answer_could_hand_back_is_refused_before(self, api, service, extra):
        for path in ("txt2img", "img2img"):
            answer = api.post(f"/sdapi/v1/{path}", content=f'{{"prompt": "a cone", {extra}}}', headers=JSON)
            refused(answer, 422)
        assert service.views == {}

    @pytest.mark.parametrize("field", ["eta", "s_noise", "initial_noise_multiplier"])
    def test_nought_is_a_value_where_one_changes_nothing(self, api, service, field):
        for path in ("txt2img", "img2img"):
            answer = api.post(f"/sdapi/v1/{path}", json={"prompt": "a cone", field: 0})
            assert field in refused(answer, 422)
        assert service.views == {}
        for value in (None, 1, 1.0):
            assert api.post("/sdapi/v1/txt2img", json={"prompt": "a cone", field: value}).status_code == 200

    @pytest.mark.parametrize("name", [None, "", "None"])
    def test_no_script_is_none(self, api, name):
        assert api.post("/sdapi/v1/txt2img", json={"prompt": "a", "script_name": name}).status_code == 200

    def test_what_is_only_deep_is_fine(self, api):
        deep: list = []
        for _ in range(DEEPEST - 3):
            deep = [deep]
        answer = api.post("/sdapi/v1/txt2img", json={"prompt": "a cone", "alwayson_scripts": deep})
        assert answer.status_code == 200

    @pytest.mark.parametrize("option", ['"\\ud800": 1', '"sd_model_checkpoint": "\\ud800"'])
    def test_half_characters_are_escaped_where_they_are_quoted(self, api, option):
        message = refused(api.post("/sdapi/v1/options", content=f"{{{option}}}", headers=JSON), 422)
        assert "\\ud800" in message


class TestOpenAI:
    @pytest.mark.parametrize("field", ["user", "safety_identifier", "sampler", "prompt"])
    def test_half_characters_are_refused_before_anything_is_made(self, api, service, field):
        body = f'{{"prompt": "a cone", "{field}": "\\ud800"}}'
        answer = api.post("/v1/images/generations", content=body, headers=JSON)
        assert "not utf-8; retype it" in refused(answer, 400)
        odd = {"Content-Type": "multipart/form-data; boundary=x; charset=utf-7"}  # that has half characters
        form, image = {"prompt": "a cone", field: "+2AA-"}, {"image": packed(Image.new("RGB", (16, 16)))}
        answer = api.post("/v1/images/edits", data=form, files=image, headers=odd)
        assert "not utf-8; retype it" in refused(answer, 400)
        assert service.views == {}


class TestShapes:
    """A picture of another shape than what is to be made of it, by resize_mode."""

    THIRDS = np.repeat(np.eye(3, dtype=np.uint8) * 255, 64, axis=0)[None].repeat(64, axis=0)

    def painted(self, api, service, **more) -> Request:
        asked = {"prompt": "a cone", "init_images": [in_base64(packed(Image.fromarray(self.THIRDS)))]}
        answer = api.post("/sdapi/v1/img2img", json=asked | more)
        assert answer.status_code == 200, answer.text
        return next(iter(service.views.values())).requests[0]

    @pytest.mark.parametrize(
        ("asked", "size"), [({}, (128, 128)), ({"width": 64}, (64, 128)), ({"height": 32}, (128, 32))]
    )
    def test_it_is_stretched_to_the_models_own_size_where_none_is_asked_for(self, api, service, asked, size):
        request = self.painted(api, service, **asked)
        assert (request.width, request.height) == size
        seen = read_to_fit(request.init_image, *size)
        for third, place in enumerate((0.1, 0.5, 0.9)):
            assert (seen[:, int(place * size[0])].argmax(axis=1) == third).all()

    def test_so_is_its_mask(self, api, service):
        left = in_base64(packed(Image.fromarray((self.THIRDS[..., 0] > 0).astype(np.uint8) * 255)))
        request = self.painted(api, service, mask=left)
        mask = read_mask(request.mask, 128, 128)
        assert mask[:, :42].all() and not mask[:, 44:].any()

    def test_or_cropped_about_its_middle(self, api, service):
        request = self.painted(api, service, resize_mode=1)
        assert (request.width, request.height) == (128, 128)
        assert (read_to_fit(request.init_image, 128, 128)[:, 64] == [0, 255, 0]).all()

    @pytest.mark.parametrize("mode", [2, 3])
    def test_what_cannot_be_had_is_refused(self, api, service, mode):
        data = in_base64(packed(Image.fromarray(self.THIRDS)))
        asked = {"prompt": "a cone", "init_images": [data], "resize_mode": mode}
        assert f"resize_mode {mode}" in refused(api.post("/sdapi/v1/img2img", json=asked), 422)
        assert service.views == {}


class TestGone:
    @pytest.fixture
    def gone(self, api, service, monkeypatch, tmp_path) -> str:
        """The id of a picture whose file is deleted before it is read."""
        job = api.post("/api/jobs", json={"prompt": "a cone"}).json()["id"]
        picture = service.wait(job).pictures[0]
        monkeypatch.setattr(service, "picture", lambda picture: tmp_path / f"{picture}.png")
        return picture

    @pytest.mark.parametrize("tail", ["", "?format=webp", "/record"])
    def test_a_file_that_is_gone_is_not_found(self, api, gone, tail):
        message = refused(api.get(f"/api/pictures/{gone}{tail}"), 404)
        assert "/" not in message  # and does not say where it lay

    def test_it_cannot_be_a_start_either(self, api, gone):
        refused(api.post("/api/jobs", json={"prompt": "a cone", "init_image": gone}), 422)


class TestLongWords:
    def test_a_format_without_room_for_them_is_refused_before_the_pictures(self, api, service):
        answer = api.post("/v1/images/generations", json=LONG | {"output_format": "jpeg"})
        assert "save it as PNG" in refused(answer, 400)
        assert answer.json()["error"]["param"] == "output_format" and service.views == {}
        image = {"image": packed(Image.new("RGB", (16, 16)))}
        answer = api.post("/v1/images/edits", data=LONG | {"output_format": "jpeg"}, files=image)
        refused(answer, 400)
        assert service.views == {}

    def test_others_hold_them(self, api):
        for asked in (LONG, {"prompt": "漢" * 1000, "output_format": "jpeg"}):
            assert api.post("/v1/images/generations", json=asked).status_code == 200


class TestVarying:
    LORA = Lora(Path("/x/ink.safetensors"), 0.5, 1.0)
    PROMPT = ImagePrompt(Path("/x/ip.safetensors"), Path("/x/clip"), Path("/x/cat.png"))

    @pytest.fixture
    def varied(self, service):
        desk = Desk(service, Settings(page=False))

        def vary(attached: Attachments = Attachments(), **more):  # noqa: B008  it cannot change
            job = service.submit([Request(**{"prompt": "a cone", "seed": 1, "attached": attached} | more)])
            return _vary(Here(desk), service.wait(job.id).pictures[0], 0.3, 7)

        return vary

    def test_loras_act_as_they_did(self, varied):
        wish, lost = varied(Attachments(loras=(self.LORA,)))
        (lora,) = Wish.model_validate(wish).loras
        assert (lora.name, lora.weight, lora.text_weight) == ("ink", 0.5, 1.0) and lost == ()

    def test_what_is_lost_is_told(self, varied):
        control = Control(Path("/x/net"), Path("/x/edges.png"))
        wish, lost = varied(Attachments(controls=(control,), image_prompts=(self.PROMPT,)))
        assert lost == tuple(LOST.values()) and not Wish.model_validate(wish).image_prompts

    @pytest.mark.parametrize("words", WORDS)
    def test_words_are_not_chosen_from_again(self, varied, words):
        wish, _ = varied(prompt=words, negative=words)
        assert expand(wish["prompt"], 7) == expand(wish["negative"], 7) == words

    @pytest.mark.parametrize("words", WORDS)
    def test_nor_are_those_of_a_picture_for_openais_clients(self, api, service, words):
        assert expand(varied_by_openai(api, words), 7) == words

    def test_tags_of_strangers_are_left_out(self, api, service, home):
        (home / "loras").mkdir()
        save_file({}, home / "loras" / "ink.safetensors")
        told = "a cone <lora:foo:0.8><hypernet:x:1> in ink <lora:ink:0.5>"
        assert varied_by_openai(api, told) == "a cone  in ink <lora:ink:0.5>"
        assert varied_by_openai(api, "<lora:foo:0.8>") == "a picture"

    def test_words_that_are_sent_are_chosen_from(self, api, service):
        assert varied_by_openai(api, "a cone", prompt="a {red|blue} cup") == "a {red|blue} cup"


def varied_by_openai(api, told: str, **more) -> str:
    """The prompt of a variation of a picture that tells of another, as other tools write it."""
    info = PngInfo()
    info.add_text("parameters", f"{told}\nSteps: 20, Sampler: Euler a, Seed: 1")
    data = packed(Image.new("RGB", (16, 16)), pnginfo=info)
    answer = api.post("/v1/images/variations", data={"size": "16x16"} | more, files={"image": data})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"][0]["revised_prompt"]
