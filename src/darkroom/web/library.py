"""Library: prompts with tags, settings out of any picture, and a gallery of all prints."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nicegui import ui

from darkroom.errors import DarkroomError
from darkroom.studio.borrowing import Borrowed, borrowed, from_workflow
from darkroom.studio.pictures import read
from darkroom.studio.request import Request
from darkroom.web.controls import Box, Drop, Field, Press, said
from darkroom.web.detail import Acts, show_print
from darkroom.web.models import known_models
from darkroom.web.pictures import GIVEN
from darkroom.web.prints import Print, Prints, any_print
from darkroom.web.promptbook import Kept, NoPrompts, PromptBook
from darkroom.web.session import Session

if TYPE_CHECKING:
    from darkroom.web.create import Create

HINT = (
    "Any PNG, JPEG or WebP that says what made it: ours, A1111's and its kin's, ComfyUI's. Or a file of JSON."
)
LIST = 30


class Library:
    """The place; it fills the fields of ``create`` and opens it with ``go``."""

    def __init__(
        self, session: Session, create: "Create", go: Callable[[str, Request | None, str], None]
    ) -> None:
        self.session, self.create, self.go = session, create, go
        self.book = PromptBook(session.service.folder / "prompts", session.owner)
        self.tag = ""
        with Box("shelves"):
            with Box("stack"):
                self._prompts()
            with Box("stack"):
                Box(tag="h2", words="Read a picture")
                self.drop = Drop(
                    "Drop a picture to see what made it", HINT, self._given, self._bad, self._text
                )
                self.told = Box("stack")
        self._gallery()

    def _bad(self, why: str) -> None:
        self.session.say(why, bad=True)

    # -- prompts -------------------------------------------------------------------------------------------

    def _prompts(self) -> None:
        with Box("row between"):
            Box(tag="h2", words="Prompts")
            with Box("row tight"):
                Press("Export", self._export, "bare", "download")
        with Box("keep"):
            self.words = Field("text", "", self.create.form.prompt, placeholder="words to keep")
            self.tags = Field("text", "", "", placeholder="tags, parted by commas")
            Press("Keep", self._keep, drawing="star")
        self.search = Field(
            "search", "", "", lambda event: self._list(), placeholder="search prompts and tags"
        )
        self.chips = Box("chips")
        self.list = Box("kept")
        self._list()

    def _list(self) -> None:
        found = self.book.find(self.search.value or "", self.tag)
        self.chips.clear()
        with self.chips:
            for tag in self.book.tags():
                chip = Press(tag, lambda tag=tag: self._choose(tag)).classes(replace="chip")
                chip.pressed(tag == self.tag)
        self.list.clear()
        with self.list:
            for kept in found[:LIST]:
                self._row(kept)
            if len(found) > LIST:
                Box("small soft", words=f"{len(found) - LIST} more; search to find them.")
            if not self.book.prompts:
                Box("none", words="No prompts are kept yet. Keep one here, or drop an export on the right.")
            elif not found:
                Box("none", words="No prompt has these words.")

    def _row(self, kept: Kept) -> None:
        with Box("kept-row"):
            with Box("grow"):
                Box(words=kept.prompt)
                more = [f"without {kept.negative}"] if kept.negative else []
                if words := " · ".join([*more, *kept.tags]):
                    Box("small soft", words=words)
            Press("Use", lambda: self._use(kept))
            Press("Delete this prompt", lambda: self._delete(kept), "bare bad icon", "trash")

    def _choose(self, tag: str) -> None:
        self.tag = "" if tag == self.tag else tag
        self._list()

    async def _keep(self) -> None:
        words, tags = self.words.value or "", (self.tags.value or "").split(",")
        negative = self.create.form.negative if words == self.create.form.prompt else ""
        try:
            await asyncio.to_thread(self.book.add, words, negative, tags)
        except DarkroomError as error:
            self._bad(str(error))
            return
        self.words.value = self.tags.value = ""
        self._list()

    def _use(self, kept: Kept) -> None:
        self.create.say(kept.prompt, kept.negative)
        self.go("/", None, "")

    async def _delete(self, kept: Kept) -> None:
        try:
            await asyncio.to_thread(self.book.delete, kept)
        except DarkroomError as error:
            self._bad(str(error))
        if self.tag not in self.book.tags():
            self.tag = ""
        self._list()

    def _export(self) -> None:
        ui.download.content(self.book.export(), "darkroom-prompts.json", "application/json")

    # -- reading -------------------------------------------------------------------------------------------

    def _given(self, told: Mapping[str, Any]) -> None:
        source = f"/studio/given/{told['name']}"
        try:
            self._tell(borrowed(read(GIVEN.path(str(told["name"]))).texts, known_models()), source)
        except DarkroomError as error:
            self._bad(str(error))

    async def _text(self, told: Mapping[str, Any]) -> None:
        """A file of JSON: prompts, or a workflow."""
        text = str(told.get("text", ""))
        try:
            new = await asyncio.to_thread(self.book.take, text)
        except NoPrompts:
            self._workflow(text, str(told.get("title")))
            return
        except DarkroomError as error:
            self._bad(str(error))
            return
        self.session.say(f"{new} new prompts are kept." if new != 1 else "One new prompt is kept.")
        self._list()

    def _workflow(self, text: str, title: str) -> None:
        try:
            self._tell(from_workflow(text, known_models()), "")
        except DarkroomError as error:
            self._bad(f"'{title}' holds neither prompts nor a workflow: {error}")

    def _tell(self, found: Borrowed, source: str) -> None:
        self.told.clear()
        with self.told, Box("sheet stack"):
            with Box("read"):
                if source:
                    said(Box(tag="img"), src=source, alt="The picture that was dropped")
                with Box("grow stack tight"):
                    Box("small soft", words=f"Settings as {found.tool} wrote them")
                    Box(words=str(found.said.get("prompt", "")))
            with Box("facts", "dl"):
                for name, value in found.said.items():
                    if name != "prompt" and not isinstance(value, (dict, list)) and value != "":
                        Box(tag="dt", words=name.replace("_", " "))
                        Box(tag="dd", words=str(value))
            for sentence in found.missing:
                Box("small soft", words=sentence)
            with Box("row"):
                Press("Use these settings", lambda: self._borrow(found), "main", "again")

    def _borrow(self, found: Borrowed) -> None:
        self.create.borrow(found.values)
        self.go("/", None, "")

    # -- gallery -------------------------------------------------------------------------------------------

    def _gallery(self) -> None:
        with Box("prints-head"):
            Box(tag="h2", words="Gallery")
            with Box().style("margin-left: auto; width: min(320px, 100%)"):
                self.wanted = Field(
                    "search",
                    "",
                    "",
                    lambda event: self.gallery.fill(),
                    placeholder="words, a seed or a sampler",
                )
        self.gallery = Prints(self.session, self._open, "Nothing here yet.", any_print)
        self.gallery.wants = self._wants

    def _wants(self, one: Print) -> bool:
        request = one.request
        text = f"{request.prompt} {request.negative} {request.seed} {request.sampler} {request.model}".lower()
        return all(word in text for word in (self.wanted.value or "").lower().split())

    def _open(self, one: Print) -> None:
        acts = Acts(lambda request: self.go("/", request, ""), self.go, self._compare, self._forget)
        show_print(self.session, one, acts)

    def _compare(self, one: Print) -> None:
        self.go("/", None, "")
        self.create.history.pick(one)

    def _forget(self, one: Print) -> None:
        with suppress(DarkroomError):
            self.session.service.forget(one.job)
        self.gallery.fill()
